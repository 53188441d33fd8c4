"""Few labels: everything is learned from, and calibrated on by models that have not seen it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from classifier import Taxonomy
from classifier.bundle import shipped_model
from tests.conftest import ROOT
from training.corpus import Item, with_groups
from training.data_check import Parts
from training.learn import FOLDS, learn, read
from training.train import Recipe, fine_tune

LINES = (ROOT / "training" / "data" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.load(shipped_model() / "taxonomy.toml")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small encoder."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = AutoTokenizer.from_pretrained(shipped_model())
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def some_items() -> list[Item]:
    """Thirty-two items of two classes; two of them are near-duplicates of others."""
    rows = [json.loads(line) for line in LINES]
    found = [
        Item(row["text"], c)
        for c in ("transport", "eldercare")
        for row in [r for r in rows if r["primary"] == c and 20 < len(r["text"]) < 60][:15]
    ]
    found += [Item(f"您好，{found[0].text}", "transport"), Item(f"{found[20].text}！", "eldercare")]
    return with_groups(found)


def test_who_is_calibrated_on_was_not_learned_from(
    taxonomy: Taxonomy, base: Path, tmp_path: Path
) -> None:
    items = some_items()
    taught: list[tuple[Path, Sequence[Item]]] = []  # a copy of each checkpoint, and who taught it

    def teach(train: Sequence[Item], valid: Sequence[Item], *rest: Any) -> dict[str, float]:
        assert not valid
        figures = fine_tune(train, valid, *rest)
        copy = tmp_path / f"copy-{len(taught)}"
        shutil.copytree(rest[2] / "best", copy)
        taught.append((copy, train))
        return figures

    # The first item counts twice in training, as of a file that is named twice.
    parts = Parts([*items, items[0]], [], [], [])
    learned = learn(parts, taxonomy, base, tmp_path, Recipe(epochs=1), teach)

    assert not list(tmp_path.glob("fold-*/*/"))  # they are large
    assert len(taught) == FOLDS + 1
    assert learned.calibration == items
    assert learned.outputs is not None
    seen = 0
    for place, train in taught[:-1]:
        groups = {it.group for it in train if it.group >= 0}
        held = [i for i, it in enumerate(items) if it.group not in groups]
        seen += len(held)
        # What is said of these is what the model of this fold says.
        said = read(place, learned.ngrams, [items[i].full_text for i in held], 128)
        assert np.abs(said.logits - learned.outputs.logits[held]).max() < 1e-4
    assert seen == len(items)  # each in one fold, near-duplicates together
    whole = taught[-1][1]
    assert {it.text for it in items} <= {it.text for it in whole}
    assert sum(it.text == items[0].text for it in whole) == 2


def test_enough_labels_are_calibrated_on_those_set_aside(
    taxonomy: Taxonomy, base: Path, tmp_path: Path
) -> None:
    items = some_items()
    parts = Parts(items[:20], [], items[20:], [])
    learned = learn(parts, taxonomy, base, tmp_path, Recipe(epochs=1), fine_tune)
    assert learned.calibration == items[20:]
    assert learned.outputs is None
