"""Reading Excel: .xlsx by openpyxl, .xls by calamine."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from openpyxl import load_workbook
from openpyxl.packaging.manifest import Manifest
from openpyxl.styles.numbers import is_date_format, is_timedelta_format
from openpyxl.utils.datetime import from_excel
from openpyxl.utils.escape import unescape
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.worksheet.formula import ArrayFormula, DataTableFormula
from openpyxl.xml.constants import ARC_CONTENT_TYPES, SHARED_STRINGS, WORKSHEET_TYPE
from openpyxl.xml.functions import fromstring
from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from classifier.errors import InputError
from classifier.tables.source import HEADER_WITHIN, Cell, Source, filled, has_text, table_of

# What openpyxl and the unpacker behind it raise on a damaged workbook.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, SyntaxError, TypeError,
    AttributeError, OverflowError, RuntimeError,
)  # fmt: skip
_BLOCK = 1 << 16
# Of what is kept in memory: bytes unpacked, marks of XML, and how many times as large as packed.
# A million rows with five texts of their own each have twenty million marks.
_MOST_TEXT, _MOST_TEXT_MARKS = 500_000_000, 30_000_000
_MOST_KEPT, _MOST_KEPT_MARKS = 100_000_000, 2_000_000
_MOST_LISTED = 1_000_000
_MOST_PACKED, _SURELY = 200, 50_000_000
_SHEET_PART = re.compile(r"xl/worksheets/[^/]+\.xml")
_TOO_LARGE = (
    "{} 里的文字或格式解开后太大，装不进内存。"
    "请用 Excel 或 WPS 打开，把建议复制到新的表格里，或另存为 .csv 再试"
)
# Formats that Chinese Excel has built in (ECMA-376, 18.8.30, zh-cn) and openpyxl does not know.
_YEAR_MONTH, _MONTH_DAY = 'yyyy"年"m"月"', 'm"月"d"日"'
_TIME, _EXACT_TIME = 'h"时"mm"分"', 'h"时"mm"分"ss"秒"'
_CHINESE_FORMATS = {
    27: _YEAR_MONTH, 28: _MONTH_DAY, 29: _MONTH_DAY, 30: "m-d-yy", 31: 'yyyy"年"m"月"d"日"',
    32: _TIME, 33: _EXACT_TIME, 34: f"上午/下午{_TIME}", 35: f"上午/下午{_EXACT_TIME}",
    36: _YEAR_MONTH, 50: _YEAR_MONTH, 51: _MONTH_DAY, 52: _YEAR_MONTH, 53: _MONTH_DAY,
    54: _MONTH_DAY, 55: f"上午/下午{_TIME}", 56: f"上午/下午{_EXACT_TIME}", 57: _YEAR_MONTH,
    58: _MONTH_DAY,
}  # fmt: skip


_TRY_XLS = """
import sys
from python_calamine import CalamineWorkbook, SheetTypeEnum
try:
    with open(sys.argv[1], "rb") as file:
        workbook = CalamineWorkbook.from_filelike(file)
    for sheet in workbook.sheets_metadata:
        if sheet.typ == SheetTypeEnum.WorkSheet:
            for row in workbook.get_sheet_by_name(sheet.name).iter_rows():
                pass
except BaseException as error:
    print(type(error).__name__)
    sys.exit(1)
"""


def open_xlsx(path: Path, text: str | None) -> Source:
    """The first visible sheet with suggestions, or else with anything in it."""
    with _workbook(path, values=True) as sheets:
        try:
            tops = [_top(s) for s in sheets]
        except _BROKEN as error:
            raise _damaged(path, error) from None
        visible = [s.sheet_state == "visible" for s in sheets]
        if not any(visible):
            raise InputError(f"{path} 里没有看得见的工作表")
        titles = [s.title for s in sheets]
        at, note, unread = _choose(titles, visible, tops, text)
        title = titles[at]
        try:  # the first read that goes to the end of the sheet
            formulas = _has_formulas(sheets[at])
        except _BROKEN as error:
            raise _damaged(path, error) from None

    def walk() -> Iterator[list[Cell]]:
        with ExitStack() as books:
            shown = books.enter_context(_workbook(path, values=True))[at].rows
            # Reading the sheet a second time takes as long as the first.
            typed = (
                books.enter_context(_workbook(path, values=False))[at].rows if formulas else None
            )
            try:
                for row in shown:
                    yield [
                        Cell(_value(c, f), _format(c))
                        for c, f in zip(row, next(typed) if typed else row, strict=True)
                    ]
            except _BROKEN as error:
                raise _damaged(path, error) from None

    found = table_of(path, "xlsx", walk, note, sheet=title, text=text)
    return replace(found, unread=unread)


def _format(cell: Any) -> str:
    number = cell.style_array.numFmtId if cell.value is not None else 0
    return _CHINESE_FORMATS.get(number) or str(getattr(cell, "number_format", ""))


@cache
def _is_date(number_format: str) -> tuple[bool, bool]:
    """Whether a format shows a number as a date or time, and whether as a duration."""
    return is_date_format(number_format), is_timedelta_format(number_format)


def _value(shown: Any, typed: Any) -> Any:
    """What Excel last worked out; where it never did, the formula as text."""
    value = shown.value
    if shown.data_type == "n" and value is not None:
        date, duration = _is_date(_format(shown))
        try:
            # 20240101 may be set as a date, too; Excel shows hash signs, but keeps the number.
            epoch = shown.parent.parent.epoch
            return from_excel(value, epoch, duration) if date and value >= 0 else value
        except (OverflowError, ValueError):
            return value
    # Excel writes a carriage return, and other control characters, as _x000D_.
    if isinstance(value, str):
        return unescape(value)
    if value is not None or shown.data_type == "str":  # worked out to be empty text
        return value
    formula = typed.value
    if isinstance(formula, ArrayFormula):
        return formula.text
    return None if isinstance(formula, DataTableFormula) else formula


@contextmanager
def _workbook(path: Path, *, values: bool) -> Iterator[list[ReadOnlyWorksheet]]:
    """The worksheets of a workbook, which is closed afterwards."""
    with ExitStack() as open_files:
        try:
            # By handle, since openpyxl judges a path by its suffix.
            file = open_files.enter_context(path.open("rb"))
            _check_size(path, file)
            workbook = load_workbook(file, data_only=values, read_only=True, keep_links=False)
            workbook._date_formats = set()  # it would make an error of a number that is no date
        except InputError:
            raise
        except (OSError, *_BROKEN) as error:
            raise _damaged(path, error) from None
        open_files.callback(workbook.close)
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # what some programs write there is wrong
        yield list(workbook.worksheets)


def _check_size(path: Path, file: BinaryIO) -> None:
    """Refuse a workbook of which little is sent and much is kept in memory.

    Sheets are read row by row, whatever their size; texts, formats and so on are kept.

    Raises:
        InputError: they unpack to too much.
    """
    with zipfile.ZipFile(file) as book:
        listed = book.getinfo(ARC_CONTENT_TYPES)
        if listed.file_size > _MOST_LISTED:
            raise InputError(_TOO_LARGE.format(path))
        types: dict[str, set[str]] = {}
        for entry in Manifest.from_tree(fromstring(book.read(listed))).Override:
            types.setdefault(entry.PartName[1:], set()).add(entry.ContentType)
        texts, others = [], []
        for name in set(book.namelist()):
            said = types.get(name, set())
            if SHARED_STRINGS in said:
                texts.append(book.getinfo(name))
            # What is called a sheet may be listed as something else, and the other way round.
            elif not (_SHEET_PART.fullmatch(name) and said <= {WORKSHEET_TYPE}) and (
                said or name.endswith((".xml", ".rels"))
            ):
                others.append(book.getinfo(name))
        for kept, most, most_marks in (
            (texts, _MOST_TEXT, _MOST_TEXT_MARKS),
            (others, _MOST_KEPT, _MOST_KEPT_MARKS),
        ):
            size, packed = sum(p.file_size for p in kept), sum(p.compress_size for p in kept)
            if (
                size > min(most, max(_SURELY, _MOST_PACKED * packed))
                or sum(_marks(book, part) for part in kept if size > most_marks) > most_marks
            ):
                raise InputError(_TOO_LARGE.format(path))
    file.seek(0)


def _marks(book: zipfile.ZipFile, part: zipfile.ZipInfo) -> int:
    """How many marks of XML a part has: each takes a hundred times its own size in memory."""
    found = 0
    with book.open(part) as xml:
        while block := xml.read(_BLOCK):
            found += block.count(b"<")
    return found


def _has_formulas(sheet: ReadOnlyWorksheet) -> bool:
    """Whether the sheet has any formula, from its raw XML, which is far quicker than its cells."""
    tail = b""
    with sheet._get_source() as xml:
        while block := xml.read(_BLOCK):
            if re.search(rb"<(?:\w+:)?f[ >/]", tail + block):
                return True
            tail = block[-20:]
    return False


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} 已损坏，或者不是 Excel 表格（{type(error).__name__}）。"
        "请用 Excel 或 WPS 打开，另存为 .xlsx 再试"
    )


def _top(sheet: ReadOnlyWorksheet) -> list[list[Any]]:
    return [[c.value for c in row] for row in islice(sheet.rows, HEADER_WITHIN)]


def _choose(
    titles: list[str],
    visible: list[bool],
    tops: Sequence[Sequence[Sequence[Any]]],
    text: str | None,
) -> tuple[int, str, tuple[str, ...]]:
    """Which sheet is read; a note that names it and the others; the others with suggestions."""
    used = [any(filled(v) for row in top for v in row) for top in tops]
    shown = [i for i in range(len(titles)) if visible[i]]
    good = [i for i in shown if has_text(tops[i], text)]
    at = next(iter(good + [i for i in shown if used[i]] + shown))
    others = [titles[i] for i in range(len(titles)) if used[i] and i != at]
    note = f"读的是工作表“{titles[at]}”" + (f"，没有读：{'、'.join(others)}" if others else "")
    return at, note, tuple(titles[i] for i in good if i != at)


def open_xls(path: Path, text: str | None) -> Source:
    """The first visible sheet with suggestions, or else with anything in it."""
    failure = _xls_failure(path)
    if failure == "PasswordError":
        raise InputError(f"{path} 加了密码。请用 Excel 或 WPS 打开，去掉密码后另存再试")
    if failure:
        raise InputError(
            f"{path} 加了密码，或者已损坏（{failure}）。"
            "请用 Excel 或 WPS 打开，去掉密码后另存为 .xlsx 再试"
        )
    with path.open("rb") as file:  # calamine, too, judges a path by its suffix
        workbook = CalamineWorkbook.from_filelike(file)
    sheets = [
        (workbook.get_sheet_by_name(m.name), m.visible == SheetVisibleEnum.Visible)
        for m in workbook.sheets_metadata
        if m.typ == SheetTypeEnum.WorkSheet
    ]
    if not any(visible and sheet.height > 0 for sheet, visible in sheets):
        raise InputError(f"{path} 里没有建议：看得见的工作表都是空的")
    tops = [[list(row) for row in islice(sheet.iter_rows(), HEADER_WITHIN)] for sheet, _ in sheets]
    shown = [visible for _, visible in sheets]
    at, note, unread = _choose([sheet.name for sheet, _ in sheets], shown, tops, text)
    sheet = sheets[at][0]
    # Calamine leaves out the empty columns before the first filled one.
    left = [Cell(None)] * (sheet.start[1] if sheet.start else 0)

    def walk() -> Iterator[list[Cell]]:
        for row in sheet.iter_rows():
            yield left + [Cell(_xls_value(v)) for v in row]

    found = table_of(path, "xls", walk, note, sheet=sheet.name, text=text)
    return replace(found, unread=unread)


def _xls_failure(path: Path) -> str:
    """What calamine says against a file, "" if it can be read.

    It is tried in a process of its own, since on some damaged files calamine
    ends the process instead of raising an error.
    """
    command = [sys.executable, "-P", "-c", _TRY_XLS, str(path)]
    tried = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    return tried.stdout.strip() or "Abort" if tried.returncode else ""


def _xls_value(value: Any) -> Any:
    """Every number in an .xls is a float, as telephone numbers are."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None if value == "" else value
