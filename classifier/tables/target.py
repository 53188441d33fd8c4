"""Writing tagged tables row by row: .csv, .jsonl and .parquet here, .xlsx in xlsx.py."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from classifier.errors import InputError, MissingExtra
from classifier.tables.source import Cell, Source, unique_names

SUFFIXES = (".xlsx", ".csv", ".jsonl", ".parquet")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
# A spreadsheet would run these as a formula (OWASP, CSV injection); numbers are harmless.
_ACTIVE = re.compile(r"[=+\-@\t\r\x00-\x1f＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?%?")
_BATCH = 4096
MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 1_048_576, 16_384, 32_767  # of Excel
# Added columns that some kinds of file treat apart from the others.
CLASS, PROBABILITY, SAID = "类别", "置信度", "原判"
EVIDENCE, BETWEEN = "依据", "……"  # between two passages
GROUP, GROUP_SIZE = "重复组", "同组条数"
SUMMARY, TEXT_FROM = "汇总", "正文取自"  # the last sheet, and the line of it that names columns
_OWN = "（打标）"  # behind the name of an added column that the table already has


@dataclass(frozen=True)
class Summary:
    """What the last sheet of a workbook says.

    Attributes:
        classes: (class, office, rows in lane auto, rows in lane review), all classes.
        lines: sentences for the reader: the promise and the model.
        columns: those that were read as text, for who collects the corrections.
    """

    classes: Sequence[tuple[str, str, int, int]]
    lines: Sequence[str]
    columns: Sequence[str] = ()


class Target(Protocol):
    """A file that takes tagged rows in order."""

    def write(self, row: Sequence[Cell], added: Sequence[Any], review: bool) -> None:
        """One data row: the original cells, the added values, whether a person must look."""
        ...

    def close(self, summary: Summary) -> None:
        """Finish the file."""
        ...


def clean(text: str, suffix: str = ".xlsx") -> str:
    """`text` without what a file cannot hold: half characters, in tables control ones too."""
    text = _SURROGATES.sub("", text)
    return text if suffix in (".jsonl", ".parquet") else _CONTROL.sub("", text)


def fits_cell(text: str) -> bool:
    """Whether a cell of Excel can hold a text; Excel counts in UTF-16, 😀 as two characters."""
    if len(text) * 2 <= MOST_CHARACTERS:
        return True
    return len(text.encode("utf-16-le", "surrogatepass")) <= 2 * MOST_CHARACTERS


def cut_to_cell(text: str) -> str:
    """As much of a text as a cell of Excel holds; no half of a 😀 is left at the end."""
    if fits_cell(text):
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * MOST_CHARACTERS]
    return kept.decode("utf-16-le", "ignore")


def added_names(header: Sequence[str], added: Sequence[str]) -> list[str]:
    """What the added columns are called: not like a column of the table.

    >>> added_names(["内容", "类别"], ["类别", "协办"])
    ['类别（打标）', '协办']
    """
    taken, names = set(map(clean, header)), []
    for name in added:
        while name in taken:
            name += _OWN
        names.append(name)
    return names


def find_added(header: Sequence[str], name: str) -> int | None:
    """Place of the added column `name` in a tagged table: the last that may be so called."""
    places = [i for i, n in enumerate(header) if re.fullmatch(f"{name}(?:{_OWN})*", n)]
    return places[-1] if places else None


def check_target(path: Path, source: Source, added: Sequence[str]) -> None:
    """Whether `source` can be written as the kind of file that the suffix of `path` says.

    Raises:
        InputError: an unknown suffix, or more rows or columns than Excel can hold.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"写不了 {path.name} 这种文件，-o 的文件名请用 {'、'.join(SUFFIXES)} 结尾")
    if suffix == ".xlsx" and len(source.above) + 1 + source.total > MOST_ROWS:
        raise InputError(
            f"{source.path} 有 {source.total:,} 行，一张 Excel 表放不下，请用 -o 结果.csv"
        )
    if suffix == ".xlsx" and len(source.header) + len(added) > MOST_COLUMNS:
        raise InputError(
            f"{source.place} 有 {len(source.header):,} 列，加上打标的列，一张 Excel 表放不下。"
            "多半是最右边有误写的格子，请删掉那几列；或者用 -o 结果.csv"
        )


def open_target(path: Path, source: Source, added: Sequence[str]) -> Target:
    """Start a file of the kind that the suffix of `path` says.

    Raises:
        InputError: see :func:`check_target`.
        MissingExtra: Parquet without pyarrow.
    """
    check_target(path, source, added)
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        from classifier.tables.xlsx import XlsxTarget

        return XlsxTarget(path, source, added)
    if suffix == ".csv":
        return CsvTarget(path, source, added)
    if suffix == ".jsonl":
        return JsonlTarget(path, source, added)
    return ParquetTarget(path, source, added)


class CsvTarget:
    """UTF-8 with the mark by which Excel knows it."""

    def __init__(self, path: Path, source: Source, added: Sequence[str]) -> None:
        names = [*source.header, *added_names(source.header, added)]
        self._file = path.open("w", encoding="utf-8-sig", newline="")
        self._csv = csv.writer(self._file)
        for row in source.above:
            self._csv.writerow([harmless(c.value) for c in row])
        self._csv.writerow([harmless(name) for name in names])

    def write(self, row: Sequence[Cell], added: Sequence[Any], review: bool) -> None:
        self._csv.writerow([harmless(v) for v in [*(c.value for c in row), *added]])

    def close(self, summary: Summary) -> None:
        self._file.close()


def as_text(value: Any) -> str:
    """A value for a cell of text; what is nested, as JSON."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def harmless(value: Any) -> Any:
    """A value for CSV; text that a spreadsheet would run as a formula gets a ' in front."""
    if isinstance(value, dict | list):
        value = as_text(value)
    if not isinstance(value, str):
        return value
    value = clean(value, ".jsonl")  # what half a character hid would be run as well
    active = _ACTIVE.match(value) is not None and not _NUMBER.fullmatch(value)
    return ("'" if active else "") + clean(value)


def without_guard(text: str) -> str:
    """What :func:`harmless` made `text` of, if it put a ' in front."""
    return text[1:] if text[:1] == "'" and harmless(text[1:]) == text else text


def _known(value: Any) -> Any:
    """A value for JSON, which has no word for what is not a number."""
    if isinstance(value, dict):
        return {key: _known(v) for key, v in value.items()}
    if isinstance(value, list | tuple):  # a map of Parquet is a list of pairs
        return [_known(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class JsonlTarget:
    """One object a line, original fields first."""

    def __init__(self, path: Path, source: Source, added: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._names = [*source.header, *added_names(source.header, added)]

    def write(self, row: Sequence[Cell], added: Sequence[Any], review: bool) -> None:
        values = [*(c.value for c in row), *added]
        line = json.dumps(
            dict(zip(self._names, map(_known, values), strict=True)),
            ensure_ascii=False,
            default=str,
        )
        self._file.write(clean(line, ".jsonl") + "\n")

    def close(self, summary: Summary) -> None:
        self._file.close()


def _nullable(arrow: Any, field: Any) -> Any:
    """A field of Parquet that may be empty, as may all that is nested in it."""
    kind, types = field.type, arrow.types
    if types.is_struct(kind):
        kind = arrow.struct([_nullable(arrow, inner) for inner in kind])
    elif types.is_list(kind):
        kind = arrow.list_(_nullable(arrow, kind.value_field))
    elif types.is_large_list(kind):
        kind = arrow.large_list(_nullable(arrow, kind.value_field))
    return field.with_type(kind).with_nullable(True)


class ParquetTarget:
    """The columns of a Parquet source keep their types; of others they are text.

    A sign that stands for a masked number does not fit a column of numbers; it is left empty.
    """

    def __init__(self, path: Path, source: Source, added: Sequence[str]) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise MissingExtra("parquet") from None
        self._arrow = pyarrow
        if source.kind == "parquet":
            schema = parquet.ParquetFile(source.path).schema_arrow
            fields = [_nullable(pyarrow, field) for field in schema]  # where a number is masked
            read = unique_names(schema.names)
            for i, (name, masked) in enumerate(zip(read, source.header, strict=True)):
                if masked != name:
                    fields[i] = fields[i].with_name(masked)
        else:
            # A name, too, may hold half a character.
            fields = [
                pyarrow.field(clean(name, ".parquet"), pyarrow.string()) for name in source.header
            ]
        whole = pyarrow.int64()
        numbers = {PROBABILITY: pyarrow.float64(), GROUP: whole, GROUP_SIZE: whole}
        shown = added_names(source.header, added)
        fields += [
            pyarrow.field(name, numbers.get(n, pyarrow.string()))
            for name, n in zip(shown, added, strict=True)
        ]
        self._schema = pyarrow.schema(fields)
        self._as_text = source.kind != "parquet"
        self._writer = parquet.ParquetWriter(path, self._schema)
        self._rows: list[list[Any]] = []

    def write(self, row: Sequence[Cell], added: Sequence[Any], review: bool) -> None:
        values = [c.value for c in row]
        if self._as_text:
            values = [None if v is None else as_text(v) for v in values]
        self._rows.append(
            [clean(v, ".parquet") if isinstance(v, str) else v for v in [*values, *added]]
        )
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = [
                self._column(column, field.type)
                for column, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            self._writer.write_batch(
                self._arrow.RecordBatch.from_arrays(columns, schema=self._schema)
            )
            self._rows = []

    def _column(self, values: Sequence[Any], kind: Any) -> Any:
        try:
            return self._arrow.array(values, type=kind)
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError):
            return self._arrow.array([self._fitting(v, kind) for v in values], kind)

    def _fitting(self, value: Any, kind: Any) -> Any:
        """A value without what does not fit; of one that is nested, only that part is left out."""
        if value is None or self._fits(value, kind):
            return value
        types = self._arrow.types
        if types.is_struct(kind) and isinstance(value, dict):
            return {field.name: self._fitting(value.get(field.name), field.type) for field in kind}
        if types.is_map(kind):  # a key cannot be left empty
            return [
                (key, self._fitting(v, kind.item_type))
                for key, v in value
                if self._fits(key, kind.key_type)
            ]
        if isinstance(value, list) and types.is_nested(kind):
            return [self._fitting(v, kind.value_type) for v in value]
        return None

    def _fits(self, value: Any, kind: Any) -> bool:
        try:
            self._arrow.array([value], type=kind)
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError):
            return False
        return True

    def close(self, summary: Summary) -> None:
        self._flush()
        self._writer.close()
