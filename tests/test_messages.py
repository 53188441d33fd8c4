"""Labels of public messages are kept apart from their text and joined with it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from classifier import Taxonomy
from classifier.bundle import shipped_model
from training.corpus import SPLITS, read_items
from training.messages import LABELS, join_labels


def test_the_file_holds_labels_and_no_text() -> None:
    taxonomy = Taxonomy.load(shipped_model() / "taxonomy.toml")
    rows = [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len({row["id"] for row in rows}) > 0
    for row in rows:
        assert set(row) == {"id", "primary", "secondary", "hard", "split"}
        assert {row["primary"], *row["secondary"]} <= set(taxonomy.ids)
        assert row["split"] in SPLITS


def test_join(tmp_path: Path) -> None:
    messages = tmp_path / "unlabelled.jsonl"
    row = {"id": "m1", "source": "s", "title": "灯", "text": "路灯不亮", "public_label": None}
    messages.write_text(json.dumps(row) + "\n", encoding="utf-8")
    labels = tmp_path / "labels.jsonl"
    label = {"id": "m1", "primary": "cityadmin", "secondary": [], "hard": False, "split": "train"}
    labels.write_text(json.dumps(label) + "\n", encoding="utf-8")
    output = tmp_path / "build" / "messages.jsonl"
    assert join_labels(messages, labels, output) == 1
    (item,) = read_items(output, Taxonomy.load(shipped_model() / "taxonomy.toml"))
    assert (item.full_text, item.primary, item.split) == ("灯。路灯不亮", "cityadmin", "train")
    labels.write_text(json.dumps(label | {"id": "m2"}) + "\n", encoding="utf-8")
    with pytest.raises(KeyError, match="m2"):
        join_labels(messages, labels, output)
