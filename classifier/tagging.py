"""The analyst's job: a table in, the same table with classes out, however long it is.

First all rows are classified, chunk by chunk, into a journal beside the
output; then source and journal are walked together into the output, which
appears whole. A run that was killed goes on from its journal and, since the
output depends on nothing else, ends with the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from classifier import __version__
from classifier.bundle import sha256
from classifier.classifier import SuggestionClassifier
from classifier.decision import AUTO, OUT_OF_SCOPE, REVIEW, UNSURE, Prediction
from classifier.errors import InputError
from classifier.privacy import mask
from classifier.tables import Source, open_table, open_target, text_columns, write_whole
from classifier.tables.source import SUFFIXES, Cell
from classifier.tables.target import (
    CLASS,
    MOST_CHARACTERS,
    MOST_ROWS,
    PROBABILITY,
    SAID,
    Summary,
    check_target,
)
from classifier.text import join_fields

ADDED = (CLASS, "协办", PROBABILITY, "处理通道", "原因", "主办单位", "备选", "模型", SAID)
EVIDENCE = "依据"
LANES = {AUTO: "自动", REVIEW: "人工"}
TAGGED = "-打标"
_CHUNK = 512  # rows between two writes to the journal
_SHOWN = 100  # rows of the sample
_NAMED = 20  # rows that a report lists by number


@dataclass
class Report:
    """What became of one file.

    Attributes:
        columns: names of the columns that were read as text.
        counts: rows by class and lane.
        problems: what was wrong → numbers of the first such rows, as Excel counts.
        problem_counts: how many such rows there are.
        sample: text and added cells of the first rows, to show.
        review: row number, text and added cells of the first rows for a person.
    """

    file: Path
    output: Path
    note: str
    columns: list[str]
    total: int
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: dict[str, list[int]] = field(default_factory=dict)
    problem_counts: Counter[str] = field(default_factory=Counter)
    sample: list[tuple[str, list[Any]]] = field(default_factory=list)
    review: list[tuple[int, str, list[Any]]] = field(default_factory=list)

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

    def add_problem(self, what: str, row: int) -> None:
        """Count a row with a problem."""
        self.problem_counts[what] += 1
        if len(rows := self.problems.setdefault(what, [])) < _NAMED:
            rows.append(row)


def expand(paths: Collection[Path]) -> list[Path]:
    """Files as they are, folders as the tables in them, without those already tagged.

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
        ]
        if not found:
            raise InputError(f"文件夹 {path} 里没有可以打标的表格（{'、'.join(SUFFIXES)}）")
        files += found
    return files


def default_output(source: Source) -> Path:
    """Where the tagged table goes: beside the source, Excel if it fits."""
    suffix = {"jsonl": ".jsonl", "parquet": ".parquet"}.get(source.kind, ".xlsx")
    if suffix == ".xlsx" and source.first_row + source.total > MOST_ROWS:
        suffix = ".csv"
    return source.path.with_name(f"{source.path.stem}{TAGGED}{suffix}")


def tag_file(
    file: Path,
    classifier: SuggestionClassifier,
    *,
    output: Path | None = None,
    text: str | None = None,
    masked: Collection[str] | None = None,
    evidence: bool = False,
    resume: bool = False,
    started: Callable[[Source, int], Any] = lambda source, done: None,
    progress: Callable[[int], Any] = lambda n: None,
) -> Report:
    """Tag one table.

    Args:
        output: where to; by default beside `file`.
        text: the column of the text, or ``标题,内容``; by default recognised.
        masked: mask personal data in all cells; may name the less certain kinds.
        evidence: add the passages that carried each decision.
        resume: go on from the journal of a run that was killed.
        started: called once with the source and the rows already done.
        progress: called with the number of rows done since the last call.

    Raises:
        InputError: the table cannot be read, or the output not written.
    """
    source = open_table(file)
    output = output or default_output(source)
    if output.resolve() == file.resolve():
        raise InputError(f"-o 不能是输入文件 {file} 自己，请换个名字")
    check_target(output, source)
    columns = text_columns(source.header, text)
    names = (*ADDED[:5], EVIDENCE, *ADDED[5:]) if evidence else ADDED
    journal = _Journal(output, _fingerprint(source, classifier, columns, evidence))
    at = [source.header.index(name) for name in columns]
    done = journal.begin(resume)
    started(source, done)
    rows = islice(source.rows(), done, None)
    while chunk := list(islice(rows, _CHUNK)):
        texts = [_text(row, at) for row in chunk]
        journal.append(
            [
                cells(p, evidence)
                for p in classifier.predict(texts, evidence=evidence, progress=progress)
            ]
        )
    report = Report(file, output, source.note, columns, source.total)
    write_whole(
        output, lambda path: _write(path, source, names, journal, classifier, masked, report)
    )
    journal.remove()
    return report


def _text(row: list[Cell], at: list[int]) -> Any:
    """The cell, or title and body joined; other kinds of cells are left for the classifier."""
    if len(at) == 1:
        value = row[at[0]].value
        return str(value) if isinstance(value, int | float) else value
    return join_fields(*("" if row[c].value is None else str(row[c].value) for c in at))


def cells(p: Prediction, evidence: bool = False) -> list[Any]:
    """The added cells of one row, in the order of the added columns."""
    long = "（超长，只读了开头）" if p.cut else ""
    return [
        p.primary,
        "、".join(p.secondary),
        p.probability,
        LANES[p.lane],
        p.reason + long,
        *(["……".join(p.evidence)] if evidence else []),
        p.office,
        "、".join(a.name for a in p.alternatives),
        p.model,
        p.primary,
    ]


def _write(
    path: Path,
    source: Source,
    names: tuple[str, ...],
    journal: _Journal,
    classifier: SuggestionClassifier,
    masked: Collection[str] | None,
    report: Report,
) -> None:
    target = open_target(path, source, names)
    counts = report.counts
    at = [source.header.index(name) for name in report.columns]
    for n, (row, added) in enumerate(
        zip(source.rows(), journal.rows(), strict=True), source.first_row
    ):
        lane = added[3]
        if masked is not None:
            row = [_masked(cell, masked) for cell in row]
            added = [mask(v, masked) if isinstance(v, str) else v for v in added]
        target.write(row, added, lane != LANES[AUTO])
        counts[added[0], lane] += 1
        _note_problems(report, n, row, added)
        if len(report.sample) < _SHOWN:
            report.sample.append((str(_text(row, at) or ""), added))
        if lane != LANES[AUTO] and len(report.review) < _SHOWN:
            report.review.append((n, str(_text(row, at) or ""), added))
    promise = classifier.max_error
    target.close(
        Summary(
            [
                (c.name, c.office, counts[c.name, LANES[AUTO]], counts[c.name, LANES[REVIEW]])
                for c in classifier.taxonomy
            ],
            [
                f"承诺：自动通道里错的不超过 {promise:.0%}"
                f"（置信度不低于 {classifier.threshold:.3f}）",
                f"模型：{classifier.model_id}，{classifier.taxonomy.name}",
                "底色标黄的要人看；“类别”可以用下拉框改正，"
                "改好后用 weilei corrections 收成训练数据",
            ],
        )
    )


def _masked(cell: Cell, also: Collection[str]) -> Cell:
    if isinstance(cell.value, str):
        return cell._replace(value=mask(cell.value, also))
    return cell


def _note_problems(report: Report, n: int, row: list[Cell], added: list[Any]) -> None:
    if added[4] and added[4] not in (OUT_OF_SCOPE, UNSURE):
        report.add_problem(added[4], n)
    if any(isinstance(c.value, str) and len(c.value) > MOST_CHARACTERS for c in row):
        report.add_problem(f"有单元格超过 {MOST_CHARACTERS} 个字，Excel 放不下，写出时截短", n)


def _fingerprint(
    source: Source, classifier: SuggestionClassifier, columns: list[str], evidence: bool
) -> dict[str, Any]:
    return {
        "file": sha256(source.path),
        "columns": columns,
        "model": classifier.model_id,
        "threshold": classifier.threshold,
        "offices": [c.office for c in classifier.taxonomy],
        "evidence": evidence,
        "weilei": __version__,
    }


class _Journal:
    """The added cells of the rows done so far, one JSON line each, beside the output."""

    def __init__(self, output: Path, fingerprint: dict[str, Any]) -> None:
        self.path = output.with_name(f".{output.name}.进度")
        self._head = json.dumps(fingerprint, ensure_ascii=False)

    def begin(self, resume: bool) -> int:
        """Start anew, or keep what an earlier run of the same job left; gives the rows kept.

        Raises:
            InputError: there is a journal of another job, or the folder cannot be written.
        """
        kept = 0
        try:
            if resume and self.path.is_file():
                data = self.path.read_bytes()
                whole = data[: data.rfind(b"\n") + 1]  # the last line may be half
                head, _, rest = whole.partition(b"\n")
                if head.decode("utf-8", "replace") != self._head:
                    raise InputError(
                        f"上次没做完的 {self.path.name} 用的是别的文件、模型或选项，接不上。"
                        "请去掉 --resume 从头做"
                    )
                kept = rest.count(b"\n")
                self.path.write_bytes(whole)
            else:
                self.path.write_text(self._head + "\n", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from None
        return kept

    def append(self, rows: list[list[Any]]) -> None:
        """Add rows; they are on disk when this returns."""
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            raise self._unwritable(error) from None

    def rows(self) -> Iterator[list[Any]]:
        """All rows, in order."""
        with self.path.open(encoding="utf-8") as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def remove(self) -> None:
        """The job is done."""
        self.path.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"写不了文件夹 {self.path.parent}（{error.strerror or error}）。"
            "请检查是否有权限、磁盘是否已满，或用 -o 换个位置"
        )
