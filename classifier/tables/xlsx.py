"""The tagged workbook: rows that can be worked on, and a sheet that sums them up."""

from __future__ import annotations

import math
import re
import shutil
import unicodedata
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import xlsxwriter
from openpyxl import load_workbook
from openpyxl.styles.numbers import BUILTIN_FORMATS_REVERSE
from openpyxl.utils.escape import unescape
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.format import Format

from classifier.tables.source import Cell, Source
from classifier.tables.target import (
    CLASS,
    SAID,
    SUMMARY,
    TEXT_FROM,
    Summary,
    added_names,
    as_text,
    clean,
    cut_to_cell,
)
from classifier.tables.whole import rows_folder

_DIGITS = 15  # of a number that Excel keeps
_EXACT = 10**_DIGITS  # whole numbers of more digits than 15 lose the others in Excel
_DATES: tuple[tuple[Any, str], ...] = (
    (datetime, "yyyy-mm-dd hh:mm:ss"),
    (date, "yyyy-mm-dd"),
    (time, "hh:mm:ss"),
)
_SAMPLE = 200  # rows whose widths are looked at
_WIDEST = 60
# One date for all files, so that the same run gives the same bytes.
CREATED = datetime(2017, 1, 1)
_SHEET = "打标结果"
_LONGEST_NAME = 31  # of a sheet
_TITLE_ROW = 0
_MOST_LINES = 10_000  # of the summary


@contextmanager
def as_os_error() -> Iterator[None]:
    """Raises OSError, as other writers do, for what xlsxwriter raises of a full disk."""
    try:
        yield
    except XlsxWriterException as error:
        raise OSError(str(error)) from error


class XlsxTarget:
    """Header frozen, filters on, classes to choose from, rows for review in yellow."""

    def __init__(self, path: Path, source: Source, added: Sequence[str]) -> None:
        # Rows are kept there until the end; it goes away with this object. Should the process
        # be killed, it is swept with what else was left beside the output.
        rows = rows_folder(path)
        rows.mkdir(mode=0o700)
        self._remove_rows = weakref.finalize(self, shutil.rmtree, rows, ignore_errors=True)
        options = {"constant_memory": True, "tmpdir": str(rows)}
        self._book = xlsxwriter.Workbook(str(path), options)
        self._book.set_properties({"created": CREATED})
        self._sheet = self._book.add_worksheet(_sheet_name(source.sheet))
        self._formats: dict[tuple[str, str], Format] = {}
        self._header = len(source.above)
        self._names = [*source.header, *added_names(source.header, added)]
        self._n_original = len(source.header)
        self._at = {name: c for c, name in enumerate(added, self._n_original)}
        self._widths = [_width(name) for name in self._names]
        for r, row in enumerate(source.above):
            for c, cell in enumerate(row):
                self._put(r, c, cell, "")
        for c, title in enumerate(self._names):
            kind = "header" if c < self._n_original else "added"
            self._put(self._header, c, Cell(title), kind)
        self._row = self._header + 1

    def write(self, row: Sequence[Cell], added: Sequence[Any], review: bool) -> None:
        kind = "review" if review else ""
        for c, cell in enumerate([*row, *map(Cell, added)]):
            self._put(self._row, c, cell, kind)
            if self._row - self._header <= _SAMPLE and isinstance(cell.value, str):
                self._widths[c] = max(self._widths[c], _width(cell.value[:_WIDEST]))
        self._row += 1

    def close(self, summary: Summary) -> None:
        last = max(self._row - 1, self._header + 1)
        sheet = self._sheet
        sheet.freeze_panes(self._header + 1, 0)
        sheet.autofilter(self._header, 0, last, len(self._names) - 1)
        for c, width in enumerate(self._widths):
            hidden = {"hidden": c == self._at.get(SAID)}
            sheet.set_column(c, c, min(width + 2, _WIDEST), None, hidden)
        if CLASS in self._at:
            c, first, n = self._at[CLASS], _FIRST_CLASS + 1, len(summary.classes)
            sheet.data_validation(self._header + 1, c, last, c, class_list(SUMMARY, first, n))
        self._summarise(summary)
        with as_os_error():
            self._book.close()
        self._remove_rows()

    def _summarise(self, summary: Summary) -> None:
        sheet = self._book.add_worksheet(SUMMARY)
        bold, plain = self._format("", "header"), self._format("", "")
        n_auto = sum(auto for _, _, auto, _ in summary.classes)
        n_review = sum(review for _, _, _, review in summary.classes)
        total = n_auto + n_review
        sheet.write_string(
            _TITLE_ROW,
            0,
            f"共 {total} 条：自动 {n_auto}，人工 {n_review}",
            self._format("", "title"),
        )
        for c, title in enumerate((CLASS, "主办单位", "条数", "自动", "人工")):
            sheet.write_string(_FIRST_CLASS - 1, c, title, bold)
        for r, (name, office, auto, review) in enumerate(summary.classes, _FIRST_CLASS):
            sheet.write_string(r, 0, clean(name), plain)
            sheet.write_string(r, 1, clean(office), plain)
            for c, number in enumerate((auto + review, auto, review), 2):
                sheet.write_number(r, c, number, plain)
        last = _FIRST_CLASS + len(summary.classes) - 1
        for r, line in enumerate(summary.lines, last + 2):
            sheet.write_string(r, 0, clean(line), plain)
        if summary.columns:
            for c, name in enumerate((TEXT_FROM, *summary.columns)):
                sheet.write_string(last + 3 + len(summary.lines), c, clean(name), plain)
        chart = self._book.add_chart({"type": "bar", "subtype": "stacked"})
        for column, name, colour in ((3, "自动", "#4F81BD"), (4, "人工", "#F4B942")):
            chart.add_series(
                {
                    "name": name,
                    "categories": [SUMMARY, _FIRST_CLASS, 0, last, 0],
                    "values": [SUMMARY, _FIRST_CLASS, column, last, column],
                    "fill": {"color": colour},
                    "gap": 40,
                }
            )
        chart.set_title({"name": "各类条数"})
        chart.set_y_axis({"reverse": True})
        chart.set_size({"width": 560, "height": 420})
        sheet.insert_chart(_FIRST_CLASS - 1, 6, chart)
        sheet.set_column(0, 0, 12)
        sheet.set_column(1, 1, 26)

    def _put(self, r: int, c: int, cell: Cell, kind: str) -> None:
        value, sheet = cell.value, self._sheet
        shown = cell.number_format if cell.number_format != "General" else ""
        if value is None:
            if kind:
                sheet.write_blank(r, c, None, self._format("", kind))
            return
        if isinstance(value, bool):
            sheet.write_boolean(r, c, value, self._format("", kind))
            return
        if isinstance(value, Decimal) and len(value.as_tuple().digits) <= _DIGITS:
            value = float(value)
        if (isinstance(value, float) and math.isfinite(value)) or (
            isinstance(value, int) and abs(value) < _EXACT
        ):
            sheet.write_number(r, c, value, self._format(shown, kind))
            return
        for cls, usual in _DATES:
            if isinstance(value, cls) and getattr(value, "tzinfo", None) is None:
                if isinstance(value, time) or value >= cls(1900, 1, 2):
                    sheet.write_datetime(r, c, value, self._format(shown or usual, kind))
                    return
                if value >= (first := cls(1900, 1, 1)):
                    # Day 1 of Excel, of which xlsxwriter makes a time without a day.
                    day = 1 + (value - first) / timedelta(days=1)
                    sheet.write_number(r, c, day, self._format(shown or usual, kind))
                    return
                break
        if isinstance(value, timedelta):
            sheet.write_datetime(r, c, value, self._format(shown or "[h]:mm:ss", kind))
            return
        # As a string cell, whatever it begins with: Excel does not run it.
        text = cut_to_cell(clean(as_text(value)))
        sheet.write_string(r, c, text, self._format("@" if shown == "@" else "", kind))

    def _format(self, number_format: str, kind: str) -> Format:
        key = number_format, kind
        if key not in self._formats:
            style: dict[str, Any] = {"valign": "top"}
            if number_format:
                # What is built in shows a date or a sum as is usual in the country, by its number.
                style["num_format"] = BUILTIN_FORMATS_REVERSE.get(number_format, number_format)
            style |= _STYLES[kind]
            self._formats[key] = self._book.add_format(style)
        return self._formats[key]


_FIRST_CLASS = _TITLE_ROW + 3
_STYLES: dict[str, dict[str, Any]] = {
    "": {},
    "header": {"bold": True, "bottom": 1},
    "added": {"bold": True, "bottom": 1, "bg_color": "#DDE7F3"},
    "review": {"bg_color": "#FFF2CC"},
    "title": {"bold": True, "font_size": 14},
}


def class_list(sheet: str, first: int, n: int) -> dict[str, str]:
    """A drop-down of the `n` classes in column A of `sheet`, from row `first` (counted from 1)."""
    return {
        "validate": "list",
        "source": f"={sheet}!$A${first}:$A${first + n - 1}",
        "error_title": "没有这一类",
        "error_message": "请从下拉框里选一类",
    }


def columns_read(path: Path) -> list[str]:
    """The columns that a tagged workbook says were read as text; none if it does not say."""
    with path.open("rb") as file:
        book = load_workbook(file, read_only=True)
        try:
            for sheet in book.worksheets:
                if sheet.title != SUMMARY:
                    continue
                sheet.reset_dimensions()
                for row in islice(sheet.iter_rows(values_only=True), _MOST_LINES):
                    if row and row[0] == TEXT_FROM:
                        return [unescape(str(name)) for name in row[1:] if name is not None]
        finally:
            book.close()
    return []


def _sheet_name(name: str) -> str:
    """A name that Excel takes, as near to `name` as can be."""
    name = re.sub(r"[][:*?/\\]", "", clean(name)).strip("'")[:_LONGEST_NAME].strip("'")
    return name if name not in ("", SUMMARY) else _SHEET


def _width(text: str) -> int:
    """Columns on the screen: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
