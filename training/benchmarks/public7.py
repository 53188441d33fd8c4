"""The public task: 7 departments from the title of a letter (泰迪杯 2020, C题).

Five folds, whole near-duplicate groups together. Each fold trains the base
encoder (never our fine-tuned one: it may have read the letters) and a linear
peer on the same titles and measures both on the rest.

python -m training.benchmarks.public7 ../shared/data/public7.jsonl
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier.taxonomy import Category, Taxonomy
from training.base import build_base
from training.corpus import Item
from training.peers import tfidf_svc
from training.progress import quiet_libraries
from training.train import Recipe, fine_tune, predict_logits

RECIPE = Recipe(
    epochs=3.0, learning_rate=2e-4, max_length=40, secondary_weight=0.0, validation_share=0.03
)


def main() -> None:
    """Print macro-F1 of both, by fold and on average."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=int, default=5, help="how many of the five to run")
    arguments = parser.parse_args()
    quiet_libraries()
    lines = arguments.data.read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["title"]]
    names = sorted({row["label"] for row in rows})
    taxonomy = Taxonomy(
        name="public7",
        categories=tuple(
            Category(id=f"c{i}", name=name, scope=name, office=name) for i, name in enumerate(names)
        ),
        abstain="",
    )
    titles = [row["title"] for row in rows]
    labels = np.array([names.index(row["label"]) for row in rows])
    groups = [row["group"] for row in rows]
    ours, peers = [], []
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        base = build_base(work / "base")
        folds = list(GroupKFold(5, shuffle=True, random_state=0).split(titles, labels, groups))
        for k, (train, test) in enumerate(folds[: arguments.folds]):
            items = [Item(titles[i], taxonomy.ids[labels[i]]) for i in train]
            unseen = [titles[i] for i in test]
            fine_tune(items, taxonomy, base, work / str(k), replace(RECIPE), augmented=False)
            best = str(work / str(k) / "best")
            logits = predict_logits(
                AutoModelForSequenceClassification.from_pretrained(best),
                AutoTokenizer.from_pretrained(best),
                unseen,
                RECIPE.max_length,
            )
            said = tfidf_svc([titles[i] for i in train], labels[train], unseen)
            ours.append(f1_score(labels[test], logits[:, : len(names)].argmax(1), average="macro"))
            peers.append(f1_score(labels[test], said, average="macro"))
            print(f"fold {k + 1}: encoder {ours[-1]:.4f}   TF-IDF + LinearSVC {peers[-1]:.4f}")
    print(f"macro-F1, {len(ours)} folds: {np.mean(ours):.4f} against {np.mean(peers):.4f}")


if __name__ == "__main__":
    main()
