"""Labelled suggestions: read them, check the labels, group near-duplicates, split."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.duplicates import near_duplicate_groups
from classifier.errors import InputError
from classifier.tables import find_column, open_table, text_columns
from classifier.tables.source import read_json_lines
from classifier.taxonomy import Taxonomy
from classifier.text import join_fields, normalise

LABEL_COLUMNS = ("类别", "标签", "分类", "主标签", "微类", "label", "primary", "category")
SPLITS = ("train", "calibration", "dev", "test", "")


@dataclass(frozen=True)
class Item:
    """One labelled suggestion. `primary` and `secondary` are category ids."""

    text: str
    primary: str
    secondary: tuple[str, ...] = ()
    title: str = ""
    split: str = ""
    source: str = ""
    register: str = ""
    indirect: bool = False
    hard: bool = False

    @property
    def full_text(self) -> str:
        """Title and body as the model reads them."""
        return join_fields(self.title, self.text)


def read_items(
    path: str | Path, taxonomy: Taxonomy, *, text: str | None = None, label: str | None = None
) -> list[Item]:
    """Read labelled suggestions from JSONL, CSV or XLSX.

    Labels may be ids or Chinese names of the taxonomy. Rows without any text
    are left out.

    Raises:
        InputError: no such file or column, nothing to read, or labels outside
            the taxonomy (their rows and the nearest class are named).
    """
    path = Path(path)
    if path.suffix.lower() in (".jsonl", ".json"):
        rows = list(read_json_lines(path))
        texts, labels = [text or "text"], label or "primary"
        lacking = [c for c in (*texts, labels) if rows and c not in rows[0][1]]
        if lacking:
            raise InputError(f"{path} 里没有字段 {'、'.join(lacking)}，请用 --text 和 --label 指明")
    else:
        table = open_table(path)
        texts = text_columns(table.header, text)
        labels = find_column(table.header, label, LABEL_COLUMNS, "--label", "类别")
        rows = [
            (n, {name: _string(cell.value) for name, cell in zip(table.header, row, strict=True)})
            for n, row in enumerate(table.rows(), table.first_row)
        ]
    items, wrong = [], []
    for n, row in rows:
        body = _string(row.get(texts[-1]))
        title = _string(row.get(texts[0] if len(texts) > 1 else "title"))
        if not normalise(join_fields(title, body)):
            continue
        primary = taxonomy.find(_string(row.get(labels)))
        if primary is None:
            wrong.append((n, _string(row.get(labels))))
            continue
        items.append(
            Item(
                text=body,
                title=title,
                primary=primary.id,
                secondary=_secondary(row.get("secondary") or row.get("协办"), taxonomy, primary.id),
                split=_string(row.get("split")),
                source=_string(row.get("source")) or path.stem,
                register=_string(row.get("register")),
                indirect=bool(row.get("indirect")),
                hard=bool(row.get("hard")),
            )
        )
    if wrong:
        raise InputError(_wrong_labels(path, wrong, taxonomy))
    if not items:
        raise InputError(f"{path} 里没有可用的行：每行要有正文和类别")
    return items


def _string(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _secondary(value: Any, taxonomy: Taxonomy, primary: str) -> tuple[str, ...]:
    labels = value if isinstance(value, list) else re.split(r"[,，、;；\s]+", _string(value))
    found = [taxonomy.find(label) for label in labels if label]
    return tuple(c.id for c in found if c and c.id not in (primary, taxonomy.abstain))


def _wrong_labels(path: Path, wrong: list[tuple[int, str]], taxonomy: Taxonomy) -> str:
    by_label: dict[str, list[int]] = {}
    for n, label in wrong:
        by_label.setdefault(label, []).append(n)
    lines = []
    for label, numbers in list(by_label.items())[:10]:
        where = "、".join(map(str, numbers[:10])) + ("…" if len(numbers) > 10 else "")
        hint = f"“{label}”，最接近的是“{taxonomy.nearest(label).name}”" if label else "没有写类别"
        lines.append(f"  第 {where} 行：{hint}")
    more = f"\n  还有 {len(by_label) - 10} 种" if len(by_label) > 10 else ""
    return (
        f"{path} 有 {len(wrong)} 行的类别不在分类表里，请改正后再训练：\n" + "\n".join(lines) + more
    )


def split_by_group(items: Sequence[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """(rest, held out): about `share` of the items held out, whole groups together.

    Items of one near-duplicate group always land on the same side.
    """
    groups: dict[int, list[int]] = {}
    for i, g in enumerate(near_duplicate_groups(it.full_text for it in items)):
        groups.setdefault(g, []).append(i)
    order = sorted(groups.values())
    random.Random(seed).shuffle(order)
    held: set[int] = set()
    for members in order:
        if len(held) >= share * len(items):
            break
        held.update(members)
    rest = [it for i, it in enumerate(items) if i not in held]
    return rest, [items[i] for i in sorted(held)]
