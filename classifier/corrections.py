"""What people corrected in tagged tables → labelled suggestions for training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from classifier.errors import InputError
from classifier.tables import open_table, text_columns, write_whole
from classifier.tables.target import CLASS, SAID
from classifier.taxonomy import Taxonomy


def collect(
    files: Sequence[Path], taxonomy: Taxonomy, output: Path, *, text: str | None = None
) -> tuple[int, int]:
    """Write the corrected rows of tagged tables as JSONL.

    A row is corrected if its 类别 is no longer what the model said (原判).

    Returns:
        The number of corrected rows and of rows looked at.

    Raises:
        InputError: a table was not tagged by weilei, or a class is not in the taxonomy.
    """
    found, seen, wrong = [], 0, []
    for file in files:
        table = open_table(file)
        if CLASS not in table.header or SAID not in table.header:
            raise InputError(f"{file} 里没有“{CLASS}”和“{SAID}”两列，不是 weilei tag 打标的结果")
        columns = text_columns(table.header, text)
        body = table.header.index(columns[-1])
        title = table.header.index(columns[0]) if len(columns) > 1 else None
        now, before = table.header.index(CLASS), table.header.index(SAID)
        for n, row in enumerate(table.rows(), table.first_row):
            seen += 1
            label = str(row[now].value or "").strip()
            if not label or label == row[before].value:
                continue
            category = taxonomy.find(label)
            if category is None:
                wrong.append(f"{file} 第 {n} 行“{label}”，最接近“{taxonomy.nearest(label).name}”")
                continue
            found.append(
                {
                    "title": "" if title is None else str(row[title].value or ""),
                    "text": str(row[body].value or ""),
                    "primary": category.id,
                }
            )
    if wrong:
        raise InputError("有的类别不在分类表里，请改正：\n  " + "\n  ".join(wrong[:20]))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    write_whole(output, lambda path: path.write_text(lines, encoding="utf-8"))
    return len(found), seen
