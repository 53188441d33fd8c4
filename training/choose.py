"""Which suggestions a person should label next: unsure, unlike one another, no copies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xlsxwriter
from sklearn.cluster import KMeans

from classifier import SuggestionClassifier
from classifier.duplicates import near_duplicate_groups
from classifier.errors import InputError
from classifier.tables import Source, older_name, open_table, text_columns, write_whole
from classifier.tables.target import CLASS, MOST_CHARACTERS, clean
from classifier.tables.xlsx import CREATED, as_os_error, class_list
from classifier.taxonomy import Taxonomy
from classifier.text import join_fields
from training.corpus import ROW
from training.features import pooled_features

_UNSURE = 10  # candidates for each one chosen
_LENGTH = 128
_CLASSES = "类别表"


@dataclass(frozen=True)
class Pool:
    """The rows of a table that have a text and no class yet."""

    source: Source
    numbers: list[int]
    rows: list[list[Any]]
    texts: list[str]


class Suggested(NamedTuple):
    """What was written.

    Attributes:
        chosen: how many rows.
        of: of how many rows without a class.
        unread: other sheets of the table that hold suggestions, too.
        aside: where another workbook that was there was put.
    """

    chosen: int
    of: int
    unread: list[str]
    aside: Path | None


def suggest_labels(
    file: Path,
    classifier: SuggestionClassifier,
    output: Path,
    *,
    n: int = 100,
    text: str | None = None,
) -> Suggested:
    """Write the `n` rows of a table most worth labelling as a workbook with a list of classes.

    Another workbook that was there is put aside: it may hold classes by now.

    Raises:
        InputError: a file or column cannot be used, or no row is left to choose from.
    """
    if output.suffix.lower() != ".xlsx":
        raise InputError(f"待标的表要有下拉框，-o 请写成 .xlsx，而不是 {output.name}")
    if output.resolve() == file.resolve():
        raise InputError(f"-o 不能是输入文件 {file} 自己，请换个名字")
    if not output.resolve().parent.is_dir():
        raise InputError(f"文件夹 {output.resolve().parent} 不存在，请先建好，或用 -o 换个位置")
    pool = read_pool(file, text)
    chosen = choose(pool.texts, classifier, n)
    if not chosen:
        filled = pool.source.total - len(pool.rows)
        why = (
            f"（{filled} 行的“{CLASS}”列已经写了；写的不是微类，就把这一列改名）" if filled else ""
        )
        raise InputError(f"{file} 里没有要标的：没有类别、又看得懂的建议一条也没有{why}")
    aside = older_name(output)

    def save(path: Path) -> None:
        with as_os_error():
            _write(path, pool, chosen, classifier.taxonomy)

    kept = write_whole(output, save, aside)
    unread = [clean(name) for name in pool.source.unread]
    return Suggested(len(chosen), len(pool.texts), unread, aside if kept else None)


def read_pool(file: Path, text: str | None) -> Pool:
    """Read a table; rows whose 类别 is filled in are left out."""
    table = open_table(file, text)
    columns = [table.header.index(c) for c in text_columns(table.header, text)]
    label = table.header.index(CLASS) if CLASS in table.header else None
    pool = Pool(table, [], [], [])
    for number, cells in zip(table.numbers(), table.rows(), strict=False):
        values = [c.value for c in cells]
        if label is not None and str(values[label] or "").strip():
            continue
        fields = [str(values[c] or "") for c in columns]
        pool.numbers.append(number)
        pool.rows.append(values)
        pool.texts.append(join_fields(*fields) if len(fields) > 1 else fields[0])
    return pool


def choose(texts: list[str], classifier: SuggestionClassifier, n: int, seed: int = 0) -> list[int]:
    """Indices of up to `n` texts, least sure first.

    Of the texts with the smallest margin between the two likeliest classes,
    one of each of `n` clusters (k-means weighted by uncertainty, Zhdanov 2019,
    arXiv:1901.05954). Of near-duplicates only the first may be chosen.
    """
    outputs = classifier.run(texts)
    ordered = np.sort(classifier.probabilities(outputs), axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    readable = [i for i, problem in enumerate(outputs.problems) if not problem]
    groups = near_duplicate_groups([texts[i] for i in readable])
    once = list(dict(zip(reversed(groups), reversed(readable), strict=True)).values())
    unsure = sorted(once, key=lambda i: (margin[i], i))[: n * _UNSURE]
    if len(unsure) <= n:
        return unsure
    features = pooled_features(classifier.bundle.path, [texts[i] for i in unsure], _LENGTH)
    clusters = KMeans(n, random_state=seed, n_init=1).fit(
        features, sample_weight=1.0 - margin[unsure] + 1e-3
    )
    best = dict(zip(reversed(clusters.labels_.tolist()), reversed(unsure), strict=True))
    chosen = set(best.values())
    # A cluster may be empty; the least sure of the others make up the number.
    spare = [i for i in unsure if i not in chosen][: n - len(chosen)]
    return sorted(chosen | set(spare), key=lambda i: (margin[i], i))


def _write(path: Path, pool: Pool, chosen: list[int], taxonomy: Taxonomy) -> None:
    kept = [i for i, name in enumerate(pool.source.header) if name != CLASS]
    header = [CLASS, *(pool.source.header[i] for i in kept), ROW]
    with xlsxwriter.Workbook(str(path)) as book:
        book.set_properties({"created": CREATED})
        sheet, classes = book.add_worksheet("待标"), book.add_worksheet(_CLASSES)
        bold, wrapped = book.add_format({"bold": True}), book.add_format({"text_wrap": True})
        for c, name in enumerate(header):
            sheet.write_string(0, c, clean(name), bold)
        for r, i in enumerate(chosen, 1):
            for c, value in enumerate([pool.rows[i][k] for k in kept], 1):
                if value is not None:
                    shown = clean(str(value))[:MOST_CHARACTERS]
                    sheet.write_string(r, c, shown, wrapped)
            sheet.write_number(r, len(header) - 1, pool.numbers[i])
        for r, category in enumerate(taxonomy):
            classes.write_string(r, 0, category.name)
            classes.write_string(r, 1, category.scope)
        sheet.data_validation(1, 0, len(chosen), 0, class_list(_CLASSES, 1, len(taxonomy)))
        sheet.freeze_panes(1, 1)
        sheet.set_column(0, 0, 12)
        sheet.set_column(1, len(header) - 2, 50)
