"""The analyst's job: a table in, the same table with classes out, however long it is.

First all rows are classified, chunk by chunk, into a journal beside the
output; then source and journal are walked together into the output, which
appears whole. A run that was killed goes on from its journal and, since the
output depends on nothing else, ends with the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any

from classifier import __version__
from classifier.bundle import sha256
from classifier.classifier import SuggestionClassifier
from classifier.decision import AUTO, OUT_OF_SCOPE, REVIEW, UNSURE, Prediction, percent
from classifier.errors import InputError
from classifier.journal import Journal
from classifier.masking import mask_names, mask_value
from classifier.privacy import mask, mask_passages
from classifier.tables import (
    Source,
    older_name,
    open_table,
    open_target,
    remove_leftovers,
    write_whole,
)
from classifier.tables.plain import DAMAGED
from classifier.tables.source import SUFFIXES, Cell
from classifier.tables.target import (
    BETWEEN,
    CLASS,
    EVIDENCE,
    GROUP,
    GROUP_SIZE,
    MOST_CHARACTERS,
    MOST_ROWS,
    PROBABILITY,
    SAID,
    Summary,
    added_names,
    as_text,
    check_target,
    clean,
    fits_cell,
)
from classifier.text import BLANK, NOT_TEXT, join_fields

ADDED = (CLASS, "协办", PROBABILITY, "处理通道", "原因", EVIDENCE, "主办单位", "备选", "模型", SAID)
_EVIDENCE = ADDED.index(EVIDENCE)
LANES = {AUTO: "自动", REVIEW: "人工"}
TAGGED = "-打标"
TOO_LONG = f"有单元格超过 {MOST_CHARACTERS} 个字，Excel 放不下，写出时截短"
BAD_BYTES = f"有读不出的字节，显示成 {DAMAGED}"
UNPRINTABLE = "有控制字符或半个字符，写出时去掉"
FAULTS = (BLANK, NOT_TEXT, TOO_LONG, BAD_BYTES, UNPRINTABLE)
_LONG = "（超长，只读了开头）"
_CHUNK = 512  # rows between two writes to the journal
_SHOWN = 100  # rows of the sample
_NAMED = 20  # rows that a report lists by number


@dataclass
class Report:
    """What became of one file.

    Attributes:
        place: the file, and the sheet that was read.
        columns: names of the columns that were read as text.
        counts: rows by class and lane.
        problems: what was wrong → numbers of the first such rows, as Excel counts.
        problem_counts: how many such rows there are.
        repeated: rows by group of near-identical texts, if these were looked for.
        sample: text and added cells of the first rows, to show.
        review: row number, text and added cells of the first rows for a person.
        unread: other sheets that hold suggestions, too.
        aside: where an earlier result that differs was put.
    """

    file: Path
    place: str
    output: Path
    note: str
    columns: list[str]
    total: int
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: dict[str, list[int]] = field(default_factory=dict)
    problem_counts: Counter[str] = field(default_factory=Counter)
    repeated: Counter[int] = field(default_factory=Counter)
    sample: list[tuple[str, list[Any]]] = field(default_factory=list)
    review: list[tuple[int, str, list[Any]]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    aside: Path | None = None

    @property
    def classes(self) -> Counter[str]:
        """Rows by class."""
        return self._sum(0)

    @property
    def lanes(self) -> Counter[str]:
        """Rows by lane."""
        return self._sum(1)

    def _sum(self, part: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for key, n in self.counts.items():
            found[key[part]] += n
        return found

    @property
    def faulty(self) -> list[str]:
        """Those of the problems that are the file's, not the model's."""
        return [what for what in self.problems if what in FAULTS]

    def add_problem(self, what: str, row: int) -> None:
        """Count a row with a problem."""
        self.problem_counts[what] += 1
        if len(rows := self.problems.setdefault(what, [])) < _NAMED:
            rows.append(row)


def expand(paths: Collection[Path]) -> list[Path]:
    """Files as they are, folders as the tables in them, without those already tagged; once each.

    Raises:
        InputError: a folder without any table.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found = [
            p
            for p in sorted(path.iterdir())
            if p.suffix.lower() in SUFFIXES
            and not p.stem.endswith(TAGGED)
            and not p.name.startswith((".", "~$"))
            and p.is_file()  # Spark writes folders that are called x.csv; a link may be broken
        ]
        if not found:
            raise InputError(f"文件夹 {path} 里没有可以打标的表格（{'、'.join(SUFFIXES)}）")
        files += found
    return once(files)


def once(files: Iterable[Path]) -> list[Path]:
    """`files` without those that are another one by a second name, of which a link goes first."""
    found: dict[Path, Path] = {}
    for path in files:
        if found.setdefault(path.resolve(), path).is_symlink():
            found[path.resolve()] = path
    return list(found.values())


def default_output(
    source: Source, folder: Path | None = None, others: Collection[Path] = ()
) -> Path:
    """Where the tagged table goes: Excel if it fits, JSONL and Parquet as what they are.

    ``a.csv`` becomes ``a-打标.xlsx``; with an ``a.xls`` beside it or among
    `others` it becomes ``a.csv-打标.xlsx``, or one would overwrite the other.

    Args:
        folder: where to; by default beside the source.
        others: what else is tagged into `folder`.
    """
    path = source.path
    suffix = {"jsonl": ".jsonl", "parquet": ".parquet"}.get(source.kind, ".xlsx")
    if suffix == ".xlsx" and source.first_row + source.total > MOST_ROWS:
        suffix = ".csv"
    beside = [p for p in path.parent.iterdir() if p.suffix.lower() in SUFFIXES]
    same = {p.name for p in (*beside, *others) if p.stem.casefold() == path.stem.casefold()}
    stem = path.name if same - {path.name} else path.stem
    return (folder or path.parent) / f"{stem}{TAGGED}{suffix}"


def tag_file(
    file: Path,
    classifier: SuggestionClassifier,
    *,
    output: Path | None = None,
    others: Collection[Path] = (),
    text: str | None = None,
    masked: Collection[str] | None = None,
    duplicates: bool = False,
    resume: bool = False,
    started: Callable[[Source, int], Any] = lambda source, done: None,
    progress: Callable[[int], Any] = lambda n: None,
) -> Report:
    """Tag one table.

    Args:
        output: file or folder to write; by default beside `file`.
        others: what else is tagged into the same folder, see :func:`default_output`.
        text: the column of the text, or ``标题,内容``; by default recognised.
        masked: mask personal data in all cells; may name the less certain kinds.
        duplicates: number the groups of near-identical texts, see :mod:`classifier.duplicates`.
        resume: go on from the journal of a run that was killed.
        started: called once with the source and the rows already done.
        progress: called with the number of rows done since the last call.

    Raises:
        InputError: the table cannot be read, or the output not written.
        MissingExtra: Parquet without pyarrow, or `duplicates` without rensa.
    """
    source = open_table(file, text)
    if output is None or output.is_dir():
        output = default_output(source, output, others)
    if output.resolve() == file.resolve():
        raise InputError(f"-o 不能是输入文件 {file} 自己，请换个名字")
    columns = source.text_columns(text)
    names: tuple[str, ...] = ADDED
    at = [source.header.index(name) for name in columns]
    if duplicates:
        names = (*names[:-1], GROUP, GROUP_SIZE, SAID)
    check_target(output, source, names)
    groups = _groups(_text(row, at) for row in source.rows()) if duplicates else None
    shown = [clean(name) for name in columns]
    report = Report(file, source.place, output, _note(source, names), shown, source.total)
    report.unread = [clean(name) for name in source.unread]
    fingerprint = _fingerprint(source, classifier, columns)
    with Journal(output, fingerprint) as journal:
        done = journal.begin(resume)
        started(source, done)
        rows = islice(source.rows(), done, None)
        while chunk := list(islice(rows, _CHUNK)):
            texts = [_text(row, at) for row in chunk]
            journal.append([cells(p) for p in classifier.predict(texts, progress=progress)])
        if sha256(file) != fingerprint["file"]:
            raise InputError(f"{file} 在打标时被改动了，请等改好后再打一次")
        remove_leftovers(output)
        aside = older_name(output, TAGGED)
        if write_whole(
            output,
            lambda path: _write(
                path, source, names, at, journal, classifier, masked, groups, report
            ),
            aside,
        ):
            report.aside = aside
        journal.remove()
    return report


def _note(source: Source, names: tuple[str, ...]) -> str:
    """What a reader should know of the table: how it was read, and columns not called as usual."""
    pairs = zip(names, added_names(source.header, names), strict=True)
    renamed = "、".join(f"“{name}”" for usual, name in pairs if name != usual)
    return clean(source.note + (f"，原表有同名的列，打标的写在{renamed}" if renamed else ""))


def _text(row: list[Cell], at: list[int]) -> Any:
    """The cell, or title and body joined; other kinds of cells are left for the classifier."""
    *title, body = (_plain(row[c].value) for c in at)
    if not title or not (body is None or isinstance(body, str)):
        return body
    return join_fields(*("" if v is None else str(v) for v in (*title, body)))


def _plain(value: Any) -> Any:
    """A number as text; one that is none (NaN) as nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return None if value != value else str(value)


def _groups(texts: Iterable[Any]) -> list[tuple[int, int] | tuple[None, None]]:
    """Number and size of the group of each text, from 1 in order; nothing for a text alone."""
    from classifier.duplicates import near_duplicate_groups  # needs an extra

    firsts = near_duplicate_groups(t if isinstance(t, str) else "" for t in texts)
    sizes = Counter(firsts)
    several = dict.fromkeys(first for first in firsts if sizes[first] > 1)
    numbers = {first: number for number, first in enumerate(several, 1)}
    return [
        (numbers[first], sizes[first]) if first in numbers else (None, None) for first in firsts
    ]


def cells(p: Prediction) -> list[Any]:
    """The added cells of one row, in the order of the added columns."""
    return [
        p.primary,
        "、".join(p.secondary),
        p.probability,
        LANES[p.lane],
        p.reason + (_LONG if p.cut else ""),
        BETWEEN.join(p.evidence),
        p.office,
        "、".join(a.name for a in p.alternatives),
        p.model,
        p.primary,
    ]


def _write(
    path: Path,
    source: Source,
    names: tuple[str, ...],
    at: list[int],
    journal: Journal,
    classifier: SuggestionClassifier,
    masked: Collection[str] | None,
    groups: list[tuple[int, int] | tuple[None, None]] | None,
    report: Report,
) -> None:
    shown = source
    if masked is not None:
        above = [[_masked(cell, masked) for cell in row] for row in source.above]
        # A table without a header has its first suggestion there.
        header = mask_names(source.header, masked)
        shown = replace(source, above=above, header=header)
    target = open_target(path, shown, names)
    counts = report.counts
    numbered = groups if groups is not None else repeat((), source.total)
    for n, row, added, group in zip(
        source.numbers(), source.rows(), journal.rows(), numbered, strict=True
    ):
        lane = added[3]
        if masked is not None:
            passages = added[_EVIDENCE].split(BETWEEN)
            passages = mask_passages(passages, str(_text(row, at) or ""), masked)
            row = [
                _masked(cell, masked, name) for cell, name in zip(row, source.header, strict=True)
            ]
            added = [mask(v, masked) if isinstance(v, str) else v for v in added]
            added[_EVIDENCE] = BETWEEN.join(passages)
        added[-1:-1] = group
        if group and group[0]:
            report.repeated[group[0]] += 1
        target.write(row, added, lane != LANES[AUTO])
        counts[added[0], lane] += 1
        _note_problems(report, n, row, added, source.damaged)
        sampled = len(report.sample) < _SHOWN
        reviewed = lane != LANES[AUTO] and len(report.review) < _SHOWN
        if sampled or reviewed:  # half a character can be neither printed nor sent
            text = clean(str(_text(row, at) or ""))
            added = [clean(v) if isinstance(v, str) else v for v in added]
        if sampled:
            report.sample.append((text, added))
        if reviewed:
            report.review.append((n, text, added))
    promise = classifier.max_error
    target.close(
        Summary(
            [
                (c.name, c.office, counts[c.name, LANES[AUTO]], counts[c.name, LANES[REVIEW]])
                for c in classifier.taxonomy
            ],
            [
                f"承诺：自动通道里错的不超过 {percent(promise)}"
                f"（把握的门槛 {classifier.threshold:.3f}）",
                f"模型：{classifier.model_id}，{classifier.taxonomy.name}",
                "底色标黄的要人看；“类别”可以用下拉框改正，"
                "改好后用 weilei corrections 收成训练数据",
            ],
            report.columns,
        )
    )


def _masked(cell: Cell, also: Collection[str], column: str = "") -> Cell:
    return cell._replace(value=mask_value(cell.value, also, column))


def _note_problems(
    report: Report, n: int, row: list[Cell], added: list[Any], damaged: bool
) -> None:
    problem = added[4].removesuffix(_LONG)
    if problem and problem not in (OUT_OF_SCOPE, UNSURE):
        report.add_problem(problem, n)
    texts = [as_text(c.value) for c in row if isinstance(c.value, str | dict | list)]
    suffix = report.output.suffix.lower()
    if suffix == ".xlsx" and not all(map(fits_cell, texts)):
        report.add_problem(TOO_LONG, n)
    if damaged and any(DAMAGED in t for t in texts):
        report.add_problem(BAD_BYTES, n)
    if any(clean(t, suffix) != t for t in texts):
        report.add_problem(UNPRINTABLE, n)


def _fingerprint(
    source: Source, classifier: SuggestionClassifier, columns: list[str]
) -> dict[str, Any]:
    return {
        "file": sha256(source.path),
        "columns": columns,
        "model": classifier.model_id,
        "threshold": classifier.threshold,
        "classes": [(c.name, c.office) for c in classifier.taxonomy],
        "weilei": __version__,
    }
