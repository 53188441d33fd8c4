"""Labels changed on purpose are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from classifier import Taxonomy
from classifier.bundle import shipped_model
from tests.conftest import ROOT
from training.corpus import read_items, with_groups
from training.suspicious import suspects


def test_wrong_labels_are_found() -> None:
    taxonomy = Taxonomy.load(shipped_model() / "taxonomy.toml")
    items = read_items(ROOT / "training" / "data" / "corpus.jsonl", taxonomy)
    items = with_groups([it for it in items if it.split == "train"][:200])
    wrong = set(np.random.default_rng(0).permutation(200)[:10].tolist())
    mixed = [
        replace(it, primary=taxonomy.ids[(taxonomy.index(it.primary) + 3) % 13])
        if i in wrong else it
        for i, it in enumerate(items)
    ]  # fmt: skip
    found = suspects(mixed, taxonomy)
    planted = {items[i].where for i in wrong}
    hits = [s for s in found if s.item.where in planted]
    assert len(hits) >= 5
    assert len(hits) >= 0.5 * len(found)
    assert all(s.given != s.suggested for s in found)
    assert len(suspects(mixed, taxonomy, most=3)) == 3
    # A class with one example, or with copies only, says nothing and hinders nothing.
    alone = [replace(items[0], primary="safety", where=str(n)) for n in range(8)]
    few = [it for it in items if it.primary in (items[0].primary, items[-1].primary)]
    assert suspects([*few, *alone], taxonomy) == suspects(few, taxonomy)
    assert suspects([*[it for it in few if it.primary == items[0].primary], *alone], taxonomy) == []
