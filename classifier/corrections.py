"""What people corrected in tagged tables → labelled suggestions for training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from classifier.errors import InputError
from classifier.tables import open_table, write_whole
from classifier.tables.target import CLASS, SAID, find_added, without_guard
from classifier.taxonomy import Taxonomy


def collect(
    files: Sequence[Path], taxonomy: Taxonomy, output: Path, *, text: str | None = None
) -> tuple[int, int]:
    """Write the corrected rows of tagged tables as JSONL.

    A row is corrected if its 类别 is no longer what the model said (原判).

    A row without any text teaches nothing and is left out.

    Returns:
        The number of corrected rows and of rows looked at.

    Raises:
        InputError: a table was not tagged by weilei, a class is not in the taxonomy, or
            `output` is not .jsonl or one of the tables.
    """
    if output.suffix.lower() != ".jsonl":
        raise InputError(f"改正过的写成 JSONL，-o 的文件名请用 .jsonl 结尾，不能是 {output}")
    if output.resolve() in {file.resolve() for file in files}:
        raise InputError(f"-o 不能是打标过的文件 {output} 自己，请换个名字")
    found, seen, wrong = [], 0, []
    for file in files:
        table = open_table(file, f"{CLASS},{SAID}")  # which stand in the header of the right sheet
        before = find_added(table.header, SAID)
        now = None if before is None else find_added(table.header[:before], CLASS)
        if before is None or now is None:
            raise InputError(f"{file} 里没有“{CLASS}”和“{SAID}”两列，不是 weilei tag 打标的结果")
        columns = table.text_columns(text)
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
            if head.strip() or body_text.strip():
                found.append({"title": head, "text": body_text, "primary": category.id})
    if wrong:
        raise InputError("有的类别不在分类表里，请改正：\n  " + "\n  ".join(wrong[:20]))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    write_whole(output, lambda path: path.write_text(lines, encoding="utf-8"))
    return len(found), seen
