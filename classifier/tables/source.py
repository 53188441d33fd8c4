"""Reading tables row by row, so that memory does not grow with the file."""

from __future__ import annotations

import codecs
import csv
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from openpyxl import load_workbook
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from classifier.errors import InputError, MissingExtra

SUFFIXES = (".xlsx", ".xlsm", ".xls", ".csv", ".tsv", ".txt", ".jsonl", ".parquet")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an old .xls, or an .xlsx with a password
# What openpyxl and the unpacker behind it raise on a damaged workbook.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, SyntaxError, TypeError)
_SAMPLE = 1 << 16
_HEADER_WITHIN = 50  # rows looked at for the first one that is not empty


class Cell(NamedTuple):
    """A value and how Excel shows it."""

    value: Any
    number_format: str = ""


@dataclass(frozen=True)
class Source:
    """A table that is read anew each time it is walked.

    Attributes:
        kind: ``xlsx``, ``xls``, ``csv``, ``jsonl`` or ``parquet``.
        header: column names; an unnamed column is called 列N.
        first_row: number of the first data row, as Excel counts.
        above: rows above the header, as they are.
        total: number of data rows.
        note: what a reader should know, e.g. the encoding found.
        sheet: name of the sheet read, "" if the file has none.
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

    def rows(self) -> Iterator[list[Cell]]:
        """Data rows, each as long as the header."""
        width = len(self.header)
        for row in self._walk():
            yield row[:width] + [Cell(None)] * (width - len(row))


def open_table(path: str | Path) -> Source:
    """Look into a table: .xlsx .xls .csv .tsv .jsonl .parquet.

    Raises:
        InputError: missing, locked, damaged, empty, or of another kind; the
            message says what to do.
        MissingExtra: Parquet without pyarrow.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"找不到文件 {path}，请检查文件名和所在文件夹")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise InputError(f"打不开 {path}（{error.strerror}），请关闭正在使用它的程序再试") from None
    if not head:
        raise InputError(f"{path} 是空文件，里面没有建议")
    suffix = path.suffix.lower()
    if head == _OLE:
        return _open_xls(path)
    if head[:2] == b"PK":  # a .csv that is really an .xlsx is read as what it is
        return _open_xlsx(path)
    if head[:4] == b"PAR1":
        return _open_parquet(path)
    if suffix in (".xlsx", ".xlsm", ".xls"):
        raise InputError(
            f"{path} 已损坏，不是有效的 {suffix}。请用 Excel 或 WPS 打开修复后另存再试"
        )
    if suffix == ".parquet":
        raise InputError(f"{path} 已损坏，不是有效的 Parquet，请重新导出")
    if suffix in (".csv", ".tsv", ".txt"):
        return _open_csv(path)
    if suffix in (".jsonl", ".json"):
        return _open_jsonl(path)
    raise InputError(f"不认识 {path.name} 这种文件，请用 .xlsx、.xls、.csv、.jsonl 或 .parquet")


def _source(
    path: Path,
    kind: str,
    walk: Callable[[], Iterator[list[Cell]]],
    note: str,
    sheet: str = "",
) -> Source:
    """Find the header of a table of rows, and count what follows."""
    above: list[list[Cell]] = []
    lines = walk()
    for row in lines:
        if any(_filled(c.value) for c in row) or len(above) >= _HEADER_WITHIN:
            break
        above.append(row)
    else:
        where = f"的工作表“{sheet}”" if sheet else ""
        raise InputError(f"{path} {where}是空的，里面没有建议")
    width, total = len(row), 0
    for later in lines:
        width, total = max(width, len(later)), total + 1
    skipped = len(above) + 1

    def data() -> Iterator[list[Cell]]:
        again = walk()
        for _ in range(skipped):
            next(again)
        yield from again

    header = _names([c.value for c in row], width)
    return Source(path, kind, header, skipped + 1, above, total, note, sheet, data)


def _filled(value: Any) -> bool:
    return value is not None and str(value).strip() != ""


def _names(values: Sequence[Any], width: int) -> list[str]:
    names = [str(v).strip() if _filled(v) else "" for v in values] + [""] * (width - len(values))
    return [name or f"列{i}" for i, name in enumerate(names, 1)]


# -- Excel -----------------------------------------------------------------


def _open_xlsx(path: Path) -> Source:
    with _workbook(path, values=True) as sheets:
        try:
            filled = [s for s in sheets if _has_rows(s)]
        except _BROKEN as error:
            raise _damaged(path, error) from None
        visible = [s for s in sheets if s.sheet_state == "visible"]
        if not visible:
            raise InputError(f"{path} 里没有看得见的工作表")
        sheet = next((s for s in visible if s in filled), visible[0])
        title, at = sheet.title, sheets.index(sheet)
        others = [s.title for s in filled if s is not sheet]
        formulas = _has_formulas(sheet)
    note = f"读的是工作表“{title}”" + (f"，没有读：{'、'.join(others)}" if others else "")

    def walk() -> Iterator[list[Cell]]:
        # Values as Excel last worked them out; where it never did, the formula as text.
        with ExitStack() as books:
            shown = books.enter_context(_workbook(path, values=True))[at].rows
            # Reading the sheet a second time takes as long as the first.
            typed = (
                books.enter_context(_workbook(path, values=False))[at].rows if formulas else None
            )
            try:
                for row in shown:
                    yield [
                        Cell(
                            f.value if c.value is None else c.value, getattr(c, "number_format", "")
                        )
                        for c, f in zip(row, next(typed) if typed else row, strict=True)
                    ]
            except _BROKEN as error:
                raise _damaged(path, error) from None

    return _source(path, "xlsx", walk, note, title)


@contextmanager
def _workbook(path: Path, *, values: bool) -> Iterator[list[ReadOnlyWorksheet]]:
    """The worksheets of a workbook, which is closed afterwards."""
    with ExitStack() as open_files:
        try:
            # By handle, since openpyxl judges a path by its suffix.
            file = open_files.enter_context(path.open("rb"))
            workbook = load_workbook(file, data_only=values, read_only=True)
        except (OSError, *_BROKEN) as error:
            raise _damaged(path, error) from None
        open_files.callback(workbook.close)
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # what some programs write there is wrong
        yield list(workbook.worksheets)


def _has_formulas(sheet: ReadOnlyWorksheet) -> bool:
    """Whether the sheet has any formula, from its raw XML, which is far quicker than its cells."""
    tail = b""
    with sheet._get_source() as xml:
        while block := xml.read(_SAMPLE):
            if re.search(rb"<(?:\w+:)?f[ >/]", tail + block):
                return True
            tail = block[-20:]
    return False


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} 已损坏，或者不是 Excel 表格（{type(error).__name__}）。"
        "请用 Excel 或 WPS 打开，另存为 .xlsx 再试"
    )


def _has_rows(sheet: ReadOnlyWorksheet) -> bool:
    rows = (any(_filled(c.value) for c in row) for row in sheet.rows)
    return any(filled for filled, _ in zip(rows, range(_HEADER_WITHIN), strict=False))


def _open_xls(path: Path) -> Source:
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        names = [m.name for m in workbook.sheets_metadata if "Visible" in str(m.visible)]
        sheet = next((s for s in map(workbook.get_sheet_by_name, names) if s.height > 0), None)
    except PasswordError:
        raise InputError(f"{path} 加了密码。请用 Excel 或 WPS 打开，去掉密码后另存再试") from None
    except (CalamineError, OSError) as error:
        raise InputError(
            f"{path} 加了密码，或者已损坏（{type(error).__name__}）。"
            "请用 Excel 或 WPS 打开，去掉密码后另存为 .xlsx 再试"
        ) from None
    if sheet is None:
        raise InputError(f"{path} 里没有建议：看得见的工作表都是空的")

    def walk() -> Iterator[list[Cell]]:
        for row in sheet.iter_rows():
            yield [Cell(None if v == "" else v) for v in row]

    return _source(path, "xls", walk, f"读的是工作表“{sheet.name}”", sheet.name)


# -- text ------------------------------------------------------------------


def _open_csv(path: Path) -> Source:
    encoding = detect_encoding(path)
    with path.open("r", encoding=encoding, errors="replace", newline="") as file:
        sample = file.read(_SAMPLE).lstrip("\r\n")
    first = sample.split("\n", 1)[0]
    delimiter = max(",\t;", key=lambda d: (first.count(d), sample.count(d)))
    csv.field_size_limit(10_000_000)

    def walk() -> Iterator[list[Cell]]:
        with path.open("r", encoding=encoding, newline="") as file:
            try:
                for row in csv.reader(file, delimiter=delimiter):
                    yield [Cell(value) for value in row]
            except csv.Error as error:
                raise InputError(
                    f"{path} 不是有效的 CSV（{error}），请用 Excel 另存为 .xlsx 再试"
                ) from None

    return _source(path, "csv", walk, f"编码 {_shown(encoding)}")


def _shown(encoding: str) -> str:
    return {"utf-8-sig": "UTF-8"}.get(encoding, encoding.upper())


def detect_encoding(path: Path) -> str:
    """The encoding of a text file: UTF-8, GB18030 (of which GBK is a part) or UTF-16.

    UTF-8 is so strict that a text that decodes is UTF-8; what is left on
    Chinese machines is GB18030, or UTF-16 with its mark.

    Raises:
        InputError: none of them fits.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    else:
        candidates = ["utf-8-sig", "gb18030"]
    for encoding in candidates:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with path.open("rb") as file:
                while block := file.read(_SAMPLE):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            return encoding
        except UnicodeDecodeError:
            continue
    raise InputError(f"认不出 {path} 的编码，请用 Excel 打开后另存为 .xlsx 或 UTF-8 的 CSV 再试")


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSONL file.

    Raises:
        InputError: no such file, or a line that is not a JSON object.
    """
    if not path.is_file():
        raise InputError(f"找不到文件 {path}")
    with path.open("r", encoding=detect_encoding(path)) as file:
        for n, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                raise InputError(f"{path} 第 {n} 行不是有效的 JSON") from None
            if not isinstance(row, dict):
                raise InputError(f"{path} 第 {n} 行应当是一个 JSON 对象")
            yield n, row


def _open_jsonl(path: Path) -> Source:
    header: dict[str, None] = {}
    total = 0
    for _, row in read_json_lines(path):
        header |= dict.fromkeys(row)
        total += 1
    if not total:
        raise InputError(f"{path} 是空文件，里面没有建议")
    names = list(header)

    def walk() -> Iterator[list[Cell]]:
        for _, row in read_json_lines(path):
            yield [Cell(row.get(name)) for name in names]

    return Source(path, "jsonl", names, 1, [], total, "JSONL", "", walk)


# -- Parquet ---------------------------------------------------------------


def _open_parquet(path: Path) -> Source:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise MissingExtra("parquet") from None
    try:
        file = parquet.ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise InputError(f"{path} 已损坏，不是有效的 Parquet（{type(error).__name__}）") from None
    names = list(file.schema_arrow.names)
    if not file.metadata.num_rows:
        raise InputError(f"{path} 里没有行，没有建议")

    def walk() -> Iterator[list[Cell]]:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=1024):
            columns = [column.to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                yield [Cell(v) for v in values]

    return Source(path, "parquet", names, 1, [], file.metadata.num_rows, "Parquet", "", walk)
