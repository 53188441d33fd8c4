"""Reading Excel: .xlsx by openpyxl, .xls by calamine."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils.escape import unescape
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.worksheet.formula import ArrayFormula, DataTableFormula
from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum

from classifier.errors import InputError
from classifier.tables.source import HEADER_WITHIN, Cell, Source, filled, table_of

# What openpyxl and the unpacker behind it raise on a damaged workbook.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, SyntaxError, TypeError,
    AttributeError, OverflowError, RuntimeError,
)  # fmt: skip
_BLOCK = 1 << 16


def open_xlsx(path: Path, text: str | None) -> Source:
    """The first visible sheet with anything in it."""
    with _workbook(path, values=True) as sheets:
        try:
            used = [s for s in sheets if _has_rows(s)]
        except _BROKEN as error:
            raise _damaged(path, error) from None
        visible = [s for s in sheets if s.sheet_state == "visible"]
        if not visible:
            raise InputError(f"{path} 里没有看得见的工作表")
        sheet = next((s for s in visible if s in used), visible[0])
        title, at = sheet.title, sheets.index(sheet)
        note = _note(title, [s.title for s in used])
        formulas = _has_formulas(sheet)

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
                        Cell(_value(c, f), getattr(c, "number_format", ""))
                        for c, f in zip(row, next(typed) if typed else row, strict=True)
                    ]
            except _BROKEN as error:
                raise _damaged(path, error) from None

    return table_of(path, "xlsx", walk, note, sheet=title, text=text)


def _value(shown: Any, typed: Any) -> Any:
    """What Excel last worked out; where it never did, the formula as text."""
    value = shown.value
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


def _has_rows(sheet: ReadOnlyWorksheet) -> bool:
    rows = (any(filled(c.value) for c in row) for row in sheet.rows)
    return any(found for found, _ in zip(rows, range(HEADER_WITHIN), strict=False))


def _note(title: str, used: list[str]) -> str:
    others = [other for other in used if other != title]
    return f"读的是工作表“{title}”" + (f"，没有读：{'、'.join(others)}" if others else "")


def open_xls(path: Path, text: str | None) -> Source:
    """The first visible sheet with anything in it."""
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        sheets = [
            (workbook.get_sheet_by_name(m.name), "Visible" in str(m.visible))
            for m in workbook.sheets_metadata
            if m.typ == SheetTypeEnum.WorkSheet
        ]
    except PasswordError:
        raise InputError(f"{path} 加了密码。请用 Excel 或 WPS 打开，去掉密码后另存再试") from None
    except (CalamineError, OSError) as error:
        raise InputError(
            f"{path} 加了密码，或者已损坏（{type(error).__name__}）。"
            "请用 Excel 或 WPS 打开，去掉密码后另存为 .xlsx 再试"
        ) from None
    used = [s.name for s, _ in sheets if s.height > 0]
    sheet = next((s for s, visible in sheets if visible and s.height > 0), None)
    if sheet is None:
        raise InputError(f"{path} 里没有建议：看得见的工作表都是空的")
    # Calamine leaves out the empty columns before the first filled one.
    left = [Cell(None)] * (sheet.start[1] if sheet.start else 0)

    def walk() -> Iterator[list[Cell]]:
        for row in sheet.iter_rows():
            yield left + [Cell(_xls_value(v)) for v in row]

    return table_of(path, "xls", walk, _note(sheet.name, used), sheet=sheet.name, text=text)


def _xls_value(value: Any) -> Any:
    """Every number in an .xls is a float, as telephone numbers are."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None if value == "" else value
