"""What people corrected in tagged tables → labelled suggestions for training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from classifier.errors import InputError
from classifier.tables import Source, older_name, open_table, write_whole
from classifier.tables.target import BETWEEN, CLASS, EVIDENCE, SAID, find_added, without_guard
from classifier.tables.xlsx import columns_read
from classifier.taxonomy import Taxonomy
from classifier.text import join_fields, normalise

_MASKED = "〔"


class Collected(NamedTuple):
    """What became of the tables.

    Attributes:
        corrected: rows whose class was corrected.
        seen: rows looked at.
        unread: other sheets that are tagged, too, with their files.
        aside: where another file that was there was put.
    """

    corrected: int
    seen: int
    unread: list[str]
    aside: Path | None


def collect(
    files: Sequence[Path], taxonomy: Taxonomy, output: Path, *, text: str | None = None
) -> Collected:
    """Write the corrected rows of tagged tables as JSONL.

    A row is corrected if its 类别 is no longer what the model said (原判).

    A row without any text teaches nothing and is left out.

    Args:
        text: the column of the text, or ``标题,内容``; by default what the workbook says
            was read, or else recognised.

    Raises:
        InputError: a table was not tagged by weilei, its text cannot be the one that was
            tagged, a class is not in the taxonomy, or `output` is not .jsonl or one of the tables.
    """
    if output.suffix.lower() != ".jsonl":
        raise InputError(f"改正过的写成 JSONL，-o 的文件名请用 .jsonl 结尾，不能是 {output}")
    if output.resolve() in {file.resolve() for file in files}:
        raise InputError(f"-o 不能是打标过的文件 {output} 自己，请换个名字")
    found, seen, wrong = [], 0, []
    unread: list[str] = []
    for file in files:
        table = open_table(file, f"{CLASS},{SAID}")  # which stand in the header of the right sheet
        before = find_added(table.header, SAID)
        now = None if before is None else find_added(table.header[:before], CLASS)
        if before is None or now is None:
            raise InputError(f"{file} 里没有“{CLASS}”和“{SAID}”两列，不是 weilei tag 打标的结果")
        unread += [f"{file} 的“{sheet}”" for sheet in table.unread]
        columns = _columns(table, text)
        why = find_added(table.header, EVIDENCE)
        fits: list[bool] = []  # whether a row's evidence stands in its text
        body = table.header.index(columns[-1])
        title = table.header.index(columns[0]) if len(columns) > 1 else None
        for n, row in zip(table.numbers(), table.rows(), strict=True):
            seen += 1
            label = str(row[now].value or "").strip()
            if not label or label == row[before].value:
                continue
            category = taxonomy.find(label)
            if category is None:
                wrong.append(f"{file} 第 {n} 行“{label}”，最接近“{taxonomy.nearest(label).name}”")
                continue
            head, body_text = (
                "" if c is None else without_guard(str(row[c].value or "")) for c in (title, body)
            )
            if why is not None and (passages := without_guard(str(row[why].value or ""))):
                said = join_fields(head, body_text)
                if _MASKED not in passages + said:
                    fits.append(any(_plain(p) in _plain(said) for p in passages.split(BETWEEN)))
            if head.strip() or body_text.strip():
                found.append({"title": head, "text": body_text, "primary": category.id})
        if text is None and fits and not any(fits):
            raise InputError(
                f"{table.place}：“{'＋'.join(columns)}”列里没有“{EVIDENCE}”列的话，"
                "打标时读的不是这一列。请用 --text 写明打标时的正文列"
            )
    if wrong:
        raise InputError("有的类别不在分类表里，请改正：\n  " + "\n  ".join(wrong[:20]))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    aside = older_name(output)
    kept = write_whole(output, lambda path: path.write_text(lines, encoding="utf-8"), aside)
    return Collected(len(found), seen, unread, aside if kept else None)


def _columns(table: Source, text: str | None) -> list[str]:
    """Names of the columns of the suggestion."""
    if text is None and table.kind == "xlsx":
        columns = columns_read(table.path)
        if columns and set(columns) <= set(table.header):
            return columns
    return table.text_columns(text)


def _plain(text: str) -> str:
    return "".join(normalise(text).split())
