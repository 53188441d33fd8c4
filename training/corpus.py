"""Labelled suggestions: read them, check the labels, group near-duplicates, split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier.duplicates import near_duplicate_groups
from classifier.errors import InputError
from classifier.tables import find_column, open_table, text_columns
from classifier.tables.target import clean
from classifier.taxonomy import Taxonomy
from classifier.text import join_fields, normalise

LABEL_COLUMNS = ("类别", "标签", "分类", "主标签", "微类", "label", "primary", "category")
ROW = "原来的行号"  # a column of what suggest-labels wrote, where labels may be left open
SPLITS = ("train", "calibration", "dev", "test", "")
_OTHER_SPLITS = {"validation": "dev", "valid": "dev", "val": "dev"}
_YES = ("true", "1", "1.0", "yes", "是", "√")
TO_TRAIN = "请改正后再训练（另有一套分类就用 --taxonomy 指明）"
TO_MEASURE = "请改正后再评测（用另一套分类的模型就用 --model 指明）"
MOST_ROWS = 300_000  # more would take days on an office computer


@dataclass(frozen=True)
class Item:
    """One labelled suggestion. `primary` and `secondary` are category ids.

    `co_labelled` says whether co-handling classes were looked for, without which an empty
    `secondary` says nothing.

    `where` says file and row; `group` is the number of its near-duplicate group, if known.
    """

    text: str
    primary: str
    secondary: tuple[str, ...] = ()
    co_labelled: bool = False
    title: str = ""
    split: str = ""
    source: str = ""
    register: str = ""
    indirect: bool = False
    hard: bool = False
    where: str = field(default="", compare=False)
    group: int = field(default=-1, compare=False)

    @property
    def full_text(self) -> str:
        """Title and body as the model reads them."""
        return join_fields(self.title, self.text)


Say = Callable[[str], Any]


def read_items(
    path: str | Path,
    taxonomy: Taxonomy,
    *,
    text: str | None = None,
    label: str | None = None,
    say: Say = lambda line: None,
    advice: str = TO_TRAIN,
) -> list[Item]:
    """Read labelled suggestions from a table or from a folder that ``datasets`` saved.

    Labels may be ids or Chinese names of the taxonomy. Rows without any text
    are left out, and those of ``suggest-labels`` that have no label yet. `say`
    is told what was read, and what not: how many rows, of which sheet. `advice`
    is what to do about labels outside the taxonomy.

    Raises:
        InputError: no such file or column, nothing to read, labels outside
            the taxonomy (their rows and the nearest class are named), or
            splits other than `SPLITS`.
        MissingExtra: Parquet without pyarrow.
    """
    path = Path(path)
    shown = clean(str(path), ".jsonl")  # a name from a GBK archive may be no text
    header, total, note, rows = _saved_dataset(path) if path.is_dir() else _table(path, text)
    if total > MOST_ROWS:
        raise InputError(too_many(str(path), total))
    texts = text_columns(header, text)
    labels = find_column(header, label, LABEL_COLUMNS, "--label", "类别")
    items, wrong, unlabelled = [], [], 0
    empty: list[int] = []
    wordless: list[int] = []
    formulas: list[int] = []
    unknown: dict[str, list[int]] = {}
    for n, row in rows:
        body = _string(row.get(texts[-1]))
        title = _string(row.get(texts[0])) if len(texts) > 1 else ""
        named = _string(row.get(labels))
        if not normalise(join_fields(title, body)):
            if named:
                (wordless if join_fields(title, body) else empty).append(n)
            continue
        if not named and ROW in header:
            unlabelled += 1
            continue
        if path.suffix.lower() in (".xlsx", ".xlsm") and "=" in (body[:1], title[:1]):
            formulas.append(n)
            continue
        split = _string(row.get("split")).lower()
        split = _OTHER_SPLITS.get(split, split)
        if split not in SPLITS:
            unknown.setdefault(split, []).append(n)
        primary = taxonomy.find(named)
        if primary is None:
            wrong.append((n, named))
            continue
        items.append(
            Item(
                text=body,
                title=title,
                primary=primary.id,
                secondary=_secondary(row.get("secondary") or row.get("协办"), taxonomy, primary.id),
                co_labelled="secondary" in header or "协办" in header,
                split=split,
                source=_string(row.get("source")) or clean(path.stem, ".jsonl"),
                register=_string(row.get("register")),
                indirect=_string(row.get("indirect")).lower() in _YES,
                hard=_string(row.get("hard")).lower() in _YES,
                where=f"{shown} 第 {n} 行",
            )
        )
    if wrong:
        raise InputError(_wrong_labels(path, wrong, taxonomy, advice))
    if unknown:
        raise InputError(_unknown_splits(path, unknown))
    if not items:
        raise InputError(f"{path} 里没有可用的行：{_FORMULA if formulas else '每行要有正文和类别'}")
    say(f"{path}：{len(items)} 条" + (f"（{note}）" if note else ""))
    if unlabelled:
        say(f"  另有 {unlabelled} 行还没有标类别，没有用")
    if empty:
        say(f"  另有 {len(empty)} 行有类别、没有正文（{_MERGED}），没有用：第 {_first(empty)} 行")
    if wordless:
        what = "有类别、正文没有一个字或数字（例如只有表情）"
        say(f"  另有 {len(wordless)} 行{what}，没有用：第 {_first(wordless)} 行")
    if formulas:
        say(f"  另有 {len(formulas)} 行，{_FORMULA}，没有用：第 {_first(formulas)} 行")
    return items


_Rows = Iterator[tuple[int, dict[str, Any]]]


def _table(path: Path, text: str | None) -> tuple[list[str], int, str, _Rows]:
    """Columns, number of rows, what a reader should know, and the rows with their numbers."""
    table = open_table(path, text)
    rows = (
        (n, {name: cell.value for name, cell in zip(table.header, row, strict=True)})
        for n, row in zip(table.numbers(), table.rows(), strict=False)
    )
    return table.header, table.total, table.note, rows


def _saved_dataset(path: Path) -> tuple[list[str], int, str, _Rows]:
    """The same of a folder that ``datasets`` saved; its parts become the column ``split``."""
    from datasets import ClassLabel, Dataset, load_from_disk  # slow to import

    try:
        found = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} 是文件夹，但不是 datasets 的 save_to_disk 存的。请给出里面的表格文件"
        ) from error
    parts: dict[str, Dataset] = {"": found} if isinstance(found, Dataset) else dict(found)

    def walk() -> _Rows:
        n = 0
        for name, part in parts.items():
            kinds = {k: f for k, f in part.features.items() if isinstance(f, ClassLabel)}
            for row in part:
                n += 1
                named = {
                    k: f.int2str(row[k]) if row[k] is not None and row[k] >= 0 else ""
                    for k, f in kinds.items()  # -1 stands for: not labelled
                }
                yield n, {"split": str(name), **row, **named}

    header = list(dict.fromkeys(c for part in parts.values() for c in part.column_names))
    return header, sum(len(part) for part in parts.values()), "", walk()


def too_many(what: str, rows: int) -> str:
    """What to say of more than `MOST_ROWS` rows."""
    return (
        f"{what} 有 {rows:,} 行，一次最多用 {MOST_ROWS:,} 行训练。"
        "请抽取一部分另存再试，例如每类抽 2 万条"
    )


def _string(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()  # NaN is empty, too


def _secondary(value: Any, taxonomy: Taxonomy, primary: str) -> tuple[str, ...]:
    labels = value if isinstance(value, list) else re.split(r"[,，、;；\s]+", _string(value))
    found = [taxonomy.find(_string(label)) for label in labels]
    return tuple(c.id for c in found if c and c.id not in (primary, taxonomy.abstain))


_MERGED = "合并的单元格只有第一格有字，请取消合并再填满"
_FORMULA = "正文是还没有算出结果的公式（用 Excel 打开、保存一次就有了）"
_UNLABELLED = f"没有写类别（{_MERGED}）"


def _first(numbers: Sequence[int]) -> str:
    return "、".join(map(str, numbers[:10])) + ("…" if len(numbers) > 10 else "")


def _unknown_splits(path: Path, unknown: dict[str, list[int]]) -> str:
    lines = [f"  第 {_first(numbers)} 行：“{name}”" for name, numbers in list(unknown.items())[:10]]
    return (
        f"{path} 的 split 列（这一行用来做什么）只能写 train、dev（或 validation）、test、"
        "calibration，或者空着：\n" + "\n".join(lines)
    )


def _wrong_labels(path: Path, wrong: list[tuple[int, str]], taxonomy: Taxonomy, advice: str) -> str:
    by_label: dict[str, list[int]] = {}
    for n, label in wrong:
        by_label.setdefault(label, []).append(n)
    lines = []
    for label, numbers in list(by_label.items())[:10]:
        hint = f"“{label}”，最接近的是“{taxonomy.nearest(label).name}”" if label else _UNLABELLED
        lines.append(f"  第 {_first(numbers)} 行：{hint}")
    more = f"\n  还有 {len(by_label) - 10} 种" if len(by_label) > 10 else ""
    return f"{path} 有 {len(wrong)} 行的类别不在分类表里，{advice}：\n" + "\n".join(lines) + more


def with_groups(items: Sequence[Item]) -> list[Item]:
    """The items with the numbers of their near-duplicate groups."""
    groups = near_duplicate_groups(it.full_text for it in items)
    return [replace(it, group=g) for it, g in zip(items, groups, strict=True)]


def labels_of(items: Sequence[Item], taxonomy: Taxonomy) -> np.ndarray:
    """Class indices, int of shape (n,)."""
    return np.array([taxonomy.index(it.primary) for it in items])


def described(taxonomy: Taxonomy) -> list[Item]:
    """The classes' own words, each passage of their scopes, as examples.

    Where there are few labelled suggestions of a class, they help a good deal (training/LOG.md).
    """
    return [
        Item(passage.strip(), category.id, where="分类表")
        for category in taxonomy
        for passage in dict.fromkeys([category.name, *re.split("[；;]", category.scope)])
        if passage.strip()
    ]


def split_by_group(items: Sequence[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """(rest, held out): about `share` of each class held out, whole groups together.

    Items of one near-duplicate group always land on the same side. Which side
    is decided by the text, so that the parts of a table stay nearly the same
    when rows are added to it or change places.
    """
    if any(it.group < 0 for it in items):
        items = with_groups(items)
    groups: dict[int, list[int]] = {}
    for i, it in enumerate(items):
        groups.setdefault(it.group, []).append(i)
    by_class: dict[str, list[tuple[str, list[int]]]] = {}
    for members in groups.values():
        key = min(
            hashlib.sha256(f"{seed}{items[i].full_text}".encode()).hexdigest() for i in members
        )
        by_class.setdefault(items[members[0]].primary, []).append((key, members))
    held: set[int] = set()
    wanted = 0.0  # what one class leaves over by rounding, a row at most, the next one gets
    for name in sorted(by_class):
        wanted += share * sum(len(members) for _, members in by_class[name])
        for _, members in sorted(by_class[name]):
            if len(held) + len(members) / 2 <= wanted:
                held.update(members)
        wanted = min(max(wanted, len(held) - 1), len(held) + 1)
    if not held and len(groups) > 1:
        smallest: list[int] = min(groups.values(), key=len)
        held.update(smallest)
    rest = [it for i, it in enumerate(items) if i not in held]
    return rest, [items[i] for i in sorted(held)]
