"""Reading text files: .csv, .tsv and .txt, .jsonl."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from classifier.errors import InputError
from classifier.tables.source import HEADER_WITHIN, Cell, Source, header_at, named_header, table_of

_SAMPLE = 1 << 16
_LONGEST_CELL = 10_000_000
_MOST_LINES, _FEWER_LINES = 1000, 100  # of one row: at first, and after many failures
_ALONE = "\uffff"  # the delimiter of a single column: no text has this character
_TOLD = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)  # how Excel is told the delimiter
DAMAGED = "\ufffd"  # stands for bytes that could not be decoded


def open_csv(path: Path, text: str | None) -> Source:
    """A file with a delimiter, which is found out, or of one column."""
    encoding, damaged = detect_encoding(path)
    with path.open("r", encoding=encoding, errors="replace", newline="") as file:
        told = _TOLD.fullmatch(file.readline(_SAMPLE))
        if not told:
            file.seek(0)
        delimiter = told[1] if told else _delimiter(file.read(_SAMPLE), text)
    csv.field_size_limit(_LONGEST_CELL)
    open_quotes: set[int] = set()
    unreadable: set[int] = set()

    def walk() -> Iterator[list[Cell]]:
        with path.open("r", encoding=encoding, errors="replace", newline="") as file:
            if told:
                file.readline()
            try:
                for n, (row, is_open) in enumerate(_records(file, delimiter), 1):
                    if is_open:
                        open_quotes.add(n)
                    if damaged and any(DAMAGED in value for value in row):
                        unreadable.add(n)
                    yield [Cell(value) for value in row]
            except csv.Error as error:
                raise InputError(
                    f"{path} 不是有效的 CSV（{error}），请用 Excel 另存为 .xlsx 再试"
                ) from None

    source = table_of(path, "csv", walk, "", text=text)
    note = f"编码 {_shown(encoding)}" + _damage(damaged, unreadable)
    if open_quotes:
        note += f"，{len(open_quotes)} 行的引号没有合上，照原样读（最早第 {min(open_quotes)} 行）"
    return replace(source, note=note + source.note, damaged=damaged > 0)


def _delimiter(sample: str, text: str | None) -> str:
    """The delimiter by which the header is found, or has the most columns."""
    best, chosen = (False, 1, 0), _ALONE
    for delimiter in ",\t;|":
        lines = io.StringIO(sample, newline="")
        rows = [row for row, _ in islice(_records(lines, delimiter), HEADER_WITHIN)]
        at = header_at(rows, text)
        if at is None:
            continue
        named = named_header(rows, text) is not None
        fit = (named, len(rows[at]), sample.count(delimiter))
        if fit > best:
            best, chosen = fit, delimiter
    return chosen if best[1] > 1 else _ALONE


def _records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[list[str], bool]]:
    """Rows, and whether a quote that is never closed begins in the row.

    Such a quote would take in what follows, up to another quote or the end of
    the file: a row of several lines that is not well formed ends with its
    first line, whose quotes are taken as they are, and the others are read anew.
    Reading stops where the row goes wrong, and after a number of lines that
    falls with each failure, or every line of a file might be read anew for every other.
    """
    rest, again = iter(lines), deque[str]()
    taken: list[str] = []
    most = _MOST_LINES

    def feed() -> Iterator[str]:
        while len(taken) < most:
            line = again.popleft() if again else next(rest, None)
            if line is None:
                return
            taken.append(line)
            yield line

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            row = next(reader, None)
        except csv.Error:
            line = taken[0]
            if len(taken) == most:
                most = max(most // 2, _FEWER_LINES)
            again.extendleft(reversed(taken[1:]))
            if not again:
                again.extend(islice(rest, 1))
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
            # A row of one line need not be well formed.
            lenient = csv.reader([line, ""], delimiter=delimiter)
            row = next(lenient)
            if lenient.line_num > 1 and again:
                yield next(csv.reader([line], delimiter=delimiter, quoting=csv.QUOTE_NONE)), True
                continue
            if lenient.line_num > 1:
                row = next(csv.reader([line], delimiter=delimiter))
        if row is None:
            return
        yield row, False


def _shown(encoding: str) -> str:
    return {"utf-8-sig": "UTF-8"}.get(encoding, encoding.upper())


def _damage(places: int, rows: Collection[int]) -> str:
    first = f"，最早第 {min(rows)} 行" if rows else ""
    return f"，有 {places} 处坏字节读不出，换成了 {DAMAGED}{first}" if places else ""


def detect_encoding(path: Path) -> tuple[str, int]:
    """The encoding of a text file, and at how many places it is damaged.

    UTF-8, GB18030 (of which GBK is a part) or UTF-16. UTF-8 is so strict that
    a text that decodes, but for a few places, is UTF-8; what is left on
    Chinese machines is GB18030.

    Raises:
        InputError: none of them fits.
    """
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    else:
        candidates = _unmarked_utf16(head) or ["utf-8-sig", "gb18030"]
    for encoding in candidates:
        try:
            for _ in _decoded(path, encoding, "strict"):
                pass
            return encoding, 0
        except UnicodeDecodeError:
            broken, sound = 0, 0
            for part in _decoded(path, encoding, "replace"):
                broken += len(re.findall(f"{DAMAGED}+", part))
                # Chinese, of which GBK taken for UTF-8 gives next to nothing.
                sound += len(re.findall("[\u2e80-\uffef\U00020000-\U0003ffff]", part))
            if broken * 5 <= sound:
                return encoding, broken
    raise InputError(f"认不出 {path} 的编码，请用 Excel 打开后另存为 .xlsx 或 UTF-8 的 CSV 再试")


def _decoded(path: Path, encoding: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    with path.open("rb") as file:
        while block := file.read(_SAMPLE):
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)


def _unmarked_utf16(head: bytes) -> list[str]:
    """UTF-16 without its mark: many zero bytes, and line ends in one byte order only.

    Zero bytes alone do not tell the order: 一 is 4E 00.
    """
    if max(head[::2].count(0), head[1::2].count(0)) * 200 < len(head):
        return []
    orders = ("utf-16-le", "utf-16-be")
    ends = [head.decode(order, "replace").count("\n") for order in orders]
    return [orders[ends.index(max(ends))]] if ends[0] != ends[1] else []


def json_lines(path: Path, encoding: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(line number, line, object) of a JSONL file.

    Raises:
        InputError: a line that is not a JSON object.
    """
    with path.open("r", encoding=encoding, errors="replace") as file:
        for n, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):  # also a number of thousands of digits
                raise InputError(f"{path} 第 {n} 行不是有效的 JSON") from None
            if not isinstance(row, dict):
                raise InputError(f"{path} 第 {n} 行应当是一个 JSON 对象")
            yield n, line, row


def open_jsonl(path: Path) -> Source:
    """A JSON object a line; the columns are the names of all of them."""
    encoding, damaged = detect_encoding(path)
    header: dict[str, None] = {}
    unreadable: set[int] = set()
    total = 0
    for n, line, row in json_lines(path, encoding):
        header |= dict.fromkeys(row)
        total += 1
        if damaged and DAMAGED in line:
            unreadable.add(n)
    if not total:
        raise InputError(f"{path} 是空文件，里面没有建议")
    names = list(header)

    def walk() -> Iterator[list[Cell]]:
        for _, _, row in json_lines(path, encoding):
            yield [Cell(row.get(name)) for name in names]

    def numbers() -> Iterator[int]:
        with path.open("r", encoding=encoding, errors="replace") as file:
            yield from (n for n, line in enumerate(file, 1) if line.strip())

    note = "JSONL" + _damage(damaged, unreadable)
    return Source(
        path, "jsonl", names, 1, [], total, note, "", walk, damaged=damaged > 0, _numbers=numbers
    )
