"""Tables in and out: what a clerk has is Excel, or a CSV in whatever encoding Excel chose."""

from __future__ import annotations

import codecs
import csv
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from classifier.errors import InputError

TEXT_COLUMNS = (
    "内容", "正文", "建议内容", "意见内容", "诉求内容", "反映内容", "留言内容", "留言详情",
    "意见建议",
    "建议", "意见", "诉求", "问题描述", "工单内容", "详情", "text", "content", "body",
)  # fmt: skip
TITLE_COLUMNS = ("标题", "主题", "留言主题", "诉求标题", "工单标题", "title", "subject")
_ENCRYPTED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # OLE container: old .xls or a locked .xlsx
_MAX_CELL = 32_767  # Excel's own limit of characters in a cell


@dataclass
class Table:
    """A header and rows of cell values, as read.

    Attributes:
        header: column names; an unnamed column is called 列N.
        rows: one list of values a row, as long as the header.
        first_row: number of the first data row in the file, as Excel counts.
        note: what a reader should know, e.g. the encoding found.
    """

    path: Path
    header: list[str]
    rows: list[list[Any]]
    first_row: int
    note: str = ""
    sheet: str = ""


def read_table(path: str | Path) -> Table:
    """Read an .xlsx or .csv/.tsv file.

    Raises:
        InputError: missing, locked, damaged, empty, or of another kind; the
            message says what to do.
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
    if head == _ENCRYPTED:
        raise InputError(
            f"{path} 加了密码，或者是旧版 .xls。请用 Excel 或 WPS 打开，去掉密码后另存为 .xlsx 再试"
        )
    if head[:2] == b"PK":  # a .csv that is really an .xlsx is read as what it is
        return _read_xlsx(path)
    if suffix in (".xlsx", ".xlsm"):
        raise InputError(f"{path} 已损坏，不是有效的 .xlsx。请用 Excel 或 WPS 打开修复后另存再试")
    if suffix in (".csv", ".tsv", ".txt"):
        return _read_csv(path)
    raise InputError(f"不认识 {path.name} 这种文件，请用 .xlsx 或 .csv")


def _read_xlsx(path: Path) -> Table:
    workbook = _load(path, values=True)
    sheet = _first_sheet(workbook, path)
    lines = [list(row) for row in sheet.iter_rows(values_only=True)]
    at = next((i for i, row in enumerate(lines) if any(_filled(v) for v in row)), None)
    if at is None:
        raise InputError(f"{path} 的工作表“{sheet.title}”是空的，里面没有建议")
    header, rows = _shape(lines[at], lines[at + 1 :])
    others = [s.title for s in workbook.worksheets if s is not sheet and s.max_row > 1]
    note = f"读的是工作表“{sheet.title}”" + (f"，没有读：{'、'.join(others)}" if others else "")
    return Table(path, header, rows, at + 2, note, sheet.title)


def _load(path: Path, *, values: bool) -> Workbook:
    try:
        with path.open("rb") as file:  # by handle, since openpyxl judges a path by its suffix
            return load_workbook(file, data_only=values)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError, TypeError) as error:
        raise InputError(
            f"{path} 已损坏，或者不是 Excel 表格（{type(error).__name__}）。"
            "请用 Excel 或 WPS 打开，另存为 .xlsx 再试"
        ) from None


def _first_sheet(workbook: Workbook, path: Path) -> Worksheet:
    visible = [s for s in workbook.worksheets if s.sheet_state == "visible"]
    if not visible:
        raise InputError(f"{path} 里没有看得见的工作表")
    return next((s for s in visible if s.max_row > 1), visible[0])


def _read_csv(path: Path) -> Table:
    text, encoding = decode(path.read_bytes(), path)
    sample = text[:20_000]
    delimiter = max("\t,;", key=lambda d: sample.split("\n", 1)[0].count(d))
    csv.field_size_limit(10_000_000)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise InputError(
            f"{path} 不是有效的 CSV（{error}），请用 Excel 另存为 .xlsx 再试"
        ) from None
    at = next((i for i, row in enumerate(lines) if any(v.strip() for v in row)), None)
    if at is None:
        raise InputError(f"{path} 是空文件，里面没有建议")
    header, rows = _shape(lines[at], lines[at + 1 :])
    return Table(path, header, rows, at + 2, f"编码 {encoding}")


def decode(data: bytes, path: Path) -> tuple[str, str]:
    """Bytes of a text file → (text, name of the encoding found).

    UTF-8 is so strict that a text that decodes is UTF-8; what is left on
    Chinese machines is GB18030, of which GBK is a part, or UTF-16 with its mark.

    Raises:
        InputError: none of them fits.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    else:
        candidates = ["utf-8-sig", "gb18030"]
    for encoding in candidates:
        try:
            return data.decode(encoding), {"utf-8-sig": "UTF-8"}.get(encoding, encoding.upper())
        except UnicodeDecodeError:
            continue
    raise InputError(f"认不出 {path} 的编码，请用 Excel 打开后另存为 .xlsx 或 UTF-8 的 CSV 再试")


def _filled(value: Any) -> bool:
    return value is not None and str(value).strip() != ""


def _shape(
    first: Sequence[Any], rest: Sequence[Sequence[Any]]
) -> tuple[list[str], list[list[Any]]]:
    """Header names and rows, all of the same width."""
    width = max([len(first), *(len(row) for row in rest)])
    names = [str(v).strip() if _filled(v) else "" for v in first] + [""] * (width - len(first))
    header = [name or f"列{i}" for i, name in enumerate(names, 1)]
    return header, [list(row) + [None] * (width - len(row)) for row in rest]


def find_column(
    header: Sequence[str], wanted: str | None, usual: Iterable[str], option: str, what: str
) -> str:
    """The column called `wanted`, or the first usual one.

    Raises:
        InputError: there is none; lists the columns and the option to name one.
    """
    columns = "、".join(header)
    if wanted is not None:
        if wanted not in header:
            raise InputError(f"表里没有“{wanted}”这一列。现有的列：{columns}")
        return wanted
    by_name = {name.lower(): name for name in reversed(header)}
    for name in usual:
        if name in by_name:
            return by_name[name]
    raise InputError(f"认不出哪一列是{what}，请用 {option} 列名 指明。现有的列：{columns}")


def text_columns(header: Sequence[str], wanted: str | None) -> list[str]:
    """Names of the body column, or of the title and the body column.

    `wanted` is ``内容`` or ``标题,内容``; without it they are recognised by name.

    Raises:
        InputError: no such column.
    """
    if wanted is not None:
        names = [w.strip() for w in wanted.replace("，", ",").split(",") if w.strip()]
        if not 1 <= len(names) <= 2:
            raise InputError("--text 写一列（内容）或两列（标题,内容）")
        return [find_column(header, name, (), "--text", "正文") for name in names]
    body = find_column(header, None, TEXT_COLUMNS, "--text", "正文")
    try:
        return [find_column(header, None, TITLE_COLUMNS, "--text", "标题"), body]
    except InputError:
        return [body]


# -- writing ---------------------------------------------------------------

_HEADER_FILL = PatternFill("solid", fgColor="DDE7F3")
_REVIEW_FILL = PatternFill("solid", fgColor="FFF2CC")


def write_tagged(
    table: Table, names: Sequence[str], added: Sequence[Sequence[Any]], review: Sequence[bool],
    output: Path,
) -> None:  # fmt: skip
    """Write the table with added columns as .xlsx; rows for review are coloured.

    An .xlsx input keeps its own sheets, styles and column widths. The file
    appears whole or not at all.

    Raises:
        InputError: the output cannot be written.
    """
    if table.sheet:
        workbook = _load(table.path, values=False)
        sheet = workbook[table.sheet]
        sheet_header = table.first_row - 1
    else:
        workbook = Workbook()
        sheet = workbook.worksheets[0]
        sheet_header = 1
        for r, row in enumerate([table.header, *table.rows], 1):
            for c, value in enumerate(row, 1):
                _put(sheet.cell(r, c), value)
        sheet.freeze_panes = "A2"
    start = len(table.header) + 1
    for c, name in enumerate(names, start):
        cell = sheet.cell(sheet_header, c)
        _put(cell, name)
        cell.font, cell.fill = Font(bold=True), _HEADER_FILL
        widest = max([len(name), *(len(str(row[c - start])) for row in added[:500])])
        sheet.column_dimensions[get_column_letter(c)].width = min(40, 2 * widest + 3)
    for r, (values, flag) in enumerate(zip(added, review, strict=True), sheet_header + 1):
        for c, value in enumerate(values, start):
            cell = sheet.cell(r, c)
            _put(cell, value)
            cell.alignment = Alignment(vertical="top")
            if flag:
                cell.fill = _REVIEW_FILL
    write_whole(output, lambda path: workbook.save(path))


def _put(cell: Cell, value: Any) -> None:
    """Set a cell; text stays text, also when it looks like a formula."""
    if isinstance(value, str):
        value = ILLEGAL_CHARACTERS_RE.sub("", value)[:_MAX_CELL]
        cell.value = value.encode("utf-8", "ignore").decode("utf-8")
        cell.data_type = "s"
    else:
        cell.value = value


def write_whole(output: Path, save: Callable[[Path], Any]) -> None:
    """Write a file under a temporary name beside `output`, then move it there.

    Raises:
        InputError: no such folder, no permission, disk full, or the file is in use.
    """
    scratch = None
    try:
        handle, name = tempfile.mkstemp(
            dir=output.parent, prefix=f".{output.stem[:80]}-", suffix=output.suffix
        )
        os.close(handle)
        scratch = Path(name)
        save(scratch)
        scratch.chmod(0o644)
        os.replace(scratch, output)
    except OSError as error:
        raise InputError(
            f"写不了 {output}（{error.strerror or error}）。请检查文件夹是否存在、磁盘是否已满、"
            "文件是否正被 Excel 打开，或用 -o 换个位置"
        ) from None
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
