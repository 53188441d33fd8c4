"""A table that is read row by row, so that memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple

from classifier.errors import InputError
from classifier.tables.columns import TEXT_COLUMNS, plain_name, split_names, text_columns

SUFFIXES = (
    ".xlsx", ".xlsm", ".xls", ".et", ".csv", ".tsv", ".txt", ".jsonl", ".json",
    ".parquet",
)  # fmt: skip
HEADER_WITHIN = 50  # rows looked at for the first one that is not empty
_NAMED_WITHIN = 20  # rows looked at for one with the name of a text column


class Cell(NamedTuple):
    """A value and how Excel shows it."""

    value: Any
    number_format: str = ""


@dataclass(frozen=True)
class Source:
    """A table that is read anew each time it is walked.

    Attributes:
        kind: ``xlsx``, ``xls``, ``csv``, ``jsonl`` or ``parquet``.
        header: column names, no two alike; an unnamed column is called 列N.
        first_row: number of the first data row, as Excel counts.
        above: rows above the header, as they are.
        total: number of data rows.
        note: what a reader should know, e.g. the encoding found.
        sheet: name of the sheet read, "" if the file has none.
        unread: names of other sheets that hold suggestions, too.
        damaged: whether some of its bytes could not be decoded.
    """

    path: Path
    kind: str
    header: list[str]
    first_row: int
    above: list[list[Cell]]
    total: int
    note: str
    sheet: str
    _walk: Callable[[], Iterator[list[Cell]]]
    unread: tuple[str, ...] = ()
    damaged: bool = False
    _numbers: Callable[[], Iterator[int]] | None = None

    @property
    def place(self) -> str:
        """The file, and the sheet if it has any, for a message."""
        return f"{self.path} 工作表“{self.sheet}”" if self.sheet else str(self.path)

    def text_columns(self, text: str | None) -> list[str]:
        """Names of the columns of the suggestion, see :func:`text_columns`.

        Raises:
            InputError: no such column.
        """
        try:
            return text_columns(self.header, text)
        except InputError as error:
            raise InputError(f"{self.place}：{error}") from None

    def numbers(self) -> Iterator[int]:
        """Where the data rows stand in the file, which may have empty lines if it is JSONL."""
        return self._numbers() if self._numbers else islice(count(self.first_row), self.total)

    def rows(self) -> Iterator[list[Cell]]:
        """Data rows, each as long as the header."""
        width = len(self.header)
        for row in self._walk():
            yield row[:width] + [Cell(None)] * (width - len(row))


def table_of(
    path: Path,
    kind: str,
    walk: Callable[[], Iterator[list[Cell]]],
    note: str,
    *,
    sheet: str = "",
    text: str | None = None,
) -> Source:
    """Find the header of a table of rows, and count what follows.

    Rows at the end in which nothing is filled are not rows of the table, nor are
    such columns of a workbook: a border or a colour often goes on below and beside it.

    Raises:
        InputError: no row is filled, or none below the header.
    """
    lines = walk()
    first = list(islice(lines, HEADER_WITHIN))
    at = header_at([[c.value for c in row] for row in first], text)
    where = f"{path} 的工作表“{sheet}”" if sheet else f"{path} "
    if at is None:
        raise InputError(f"{where}是空的，里面没有建议")
    row = first[at]
    measure = len if kind == "csv" else _used
    width, total, n = measure(row), 0, at + 1
    ragged, first_ragged = 0, 0
    for n, later in enumerate(chain(first[at + 1 :], lines), at + 2):
        width = max(width, measure(later))
        if _used(later):
            total = n - at - 1
        # In a workbook every row ends with its last cell.
        if kind == "csv" and later and _ragged(later, len(row)):
            ragged, first_ragged = ragged + 1, first_ragged or n
    if not total:
        raise InputError(f"{where}只有表头，下面没有建议")
    if ragged:
        note += f"，{ragged} 行的格数和表头不同（最早第 {first_ragged} 行）"
    if empty := n - at - 1 - total:
        note += f"，末尾 {empty} 行是空的，没有算"

    def data() -> Iterator[list[Cell]]:
        return islice(walk(), at + 1, at + 1 + total)

    names = [c.value for c in row[:width]]
    header = unique_names(names + [None] * (width - len(names)))
    return Source(path, kind, header, at + 2, first[:at], total, note, sheet, data)


def _used(row: Sequence[Cell]) -> int:
    """Number of cells up to the last one that is filled."""
    return next((n for n in range(len(row), 0, -1) if filled(row[n - 1].value)), 0)


def _ragged(row: Sequence[Cell], width: int) -> bool:
    return len(row) < width or any(filled(c.value) for c in row[width:])


def header_at(rows: Sequence[Sequence[Any]], text: str | None) -> int | None:
    """Index of the header: the row that names a text column, else the first that is filled."""
    named = named_header(rows, text)
    if named is not None:
        return named
    return next((i for i, row in enumerate(rows) if any(map(filled, row))), None)


def named_header(rows: Sequence[Sequence[Any]], text: str | None) -> int | None:
    """Index of the first row that names the text columns: those of `text`, else a usual one.

    A usual name may also be a value (类型：建议) or a title (意见建议). So it counts only
    in a row wider than all above it, which are then titles, not a header and its data.
    """
    rows = rows[:_NAMED_WITHIN]
    usual = None
    sizes = [sum(map(filled, row)) for row in rows]
    known: list[set[int]] = []  # places of usual names in each row
    for i, row in enumerate(rows):
        names = [plain_name(str(v)) for v in row if filled(v)]
        if text is not None and set(map(plain_name, split_names(text, names))) <= set(names):
            return i
        known.append({c for c, v in enumerate(row) if plain_name(str(v)) in TEXT_COLUMNS})
    for i in range(len(rows)):
        if usual is None and known[i] and max(sizes[:i], default=0) <= 1:
            usual = i
        elif usual is None or sizes[usual] == 1:
            titled = usual is None or _mostly_wide(sizes[i + 1 :])
            if titled and _heads(rows, sizes, known, i):
                usual = i
    return usual


def _heads(
    rows: Sequence[Sequence[Any]], sizes: Sequence[int], known: Sequence[set[int]], at: int
) -> bool:
    """Whether a row with usual names is a header below titles, not a row of data."""
    above = max([1, *sizes[:at]])
    values = set[int]().union(  # a header may stand there again, as on every printed page
        *(known[i] for i in range(len(rows)) if sizes[i] > 1 and list(rows[i]) != list(rows[at]))
    )
    if sizes[at] <= above or known[at] <= values:
        return False
    is_table = sum(n > 1 for n in sizes[:at]) > 1
    return not is_table or max(sizes[at + 1 :], default=0) > above


def _mostly_wide(sizes: Sequence[int]) -> bool:
    """Whether most rows have several cells, as below a header, or one: a text with commas."""
    used = [n for n in sizes if n]
    return sum(n > 1 for n in used) * 2 > len(used)


def has_text(rows: Sequence[Sequence[Any]], text: str | None) -> bool:
    """Whether the text columns are found in a table that begins with `rows`."""
    at = header_at(rows, text)
    try:
        return at is not None and bool(text_columns(unique_names(rows[at]), text))
    except InputError:
        return False


def filled(value: Any) -> bool:
    """Whether a cell holds something to see."""
    return value is not None and str(value).strip() != ""


def unique_names(values: Sequence[Any]) -> list[str]:
    """Column names: 列N for an empty one; of two alike the second becomes 备注_2."""
    # A mark of the byte order that was written twice stands in the first name.
    names = [str(v).strip().strip("\ufeff") if filled(v) else "" for v in values]
    names = [name or f"列{i}" for i, name in enumerate(names, 1)]
    known, used = set(names), set[str]()
    for i, name in enumerate(names):
        number = 2
        while names[i] in used:
            if (other := f"{name}_{number}") not in known:
                names[i] = other
            number += 1
        used.add(names[i])
        known.add(names[i])
    return names
