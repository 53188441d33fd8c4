"""The public task: 7 departments from the title of a letter (泰迪杯 2020, C题).

Five folds, whole near-duplicate groups together. Each fold trains the base
encoder (never our fine-tuned one: it may have read the letters), alone and with
the n-grams beside it as in a model folder, and a linear peer on the same titles,
and measures them on the rest.

python -m training.benchmarks.public7 ../shared/data/public7.jsonl
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier.decision import blend
from classifier.ngrams import NgramModel
from classifier.taxonomy import Category, Taxonomy
from classifier.text import normalise
from training.base import build_base
from training.calibrate import fit_blend
from training.corpus import Item, split_by_group
from training.ngrams import train_ngrams
from training.peers import tfidf_svc
from training.progress import quiet_libraries
from training.train import Recipe, fine_tune, predict_logits

RECIPE = Recipe(
    epochs=6.0, learning_rate=2e-4, max_length=48, secondary_weight=0.0, validation_share=0.03
)
_HELD = 0.06  # of the training titles, to weigh the n-grams against the encoder


def main() -> None:
    """Print macro-F1 of all three, by fold and on average."""
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
    found: dict[str, list[float]] = {"encoder": [], "with n-grams": [], "TF-IDF + LinearSVC": []}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        base = build_base(work / "base")
        folds = list(GroupKFold(5, shuffle=True, random_state=0).split(titles, labels, groups))
        for k, (train, test) in enumerate(folds[: arguments.folds]):
            items = [Item(titles[i], taxonomy.ids[labels[i]]) for i in train]
            unseen = [titles[i] for i in test]
            known, held = split_by_group(items, _HELD, RECIPE.seed)
            parts = split_by_group(known, RECIPE.validation_share, RECIPE.seed)
            fine_tune(*parts, taxonomy, base, work / str(k), RECIPE)
            best = str(work / str(k) / "best")
            model = AutoModelForSequenceClassification.from_pretrained(best)
            tokenizer = AutoTokenizer.from_pretrained(best)
            ngrams = train_ngrams(
                [it.text for it in known],
                np.array([taxonomy.index(it.primary) for it in known]),
                len(names),
            )

            def outputs(
                texts: list[str],
                model: Any = model,
                tokenizer: Any = tokenizer,
                ngrams: NgramModel = ngrams,
            ) -> tuple[np.ndarray, np.ndarray]:
                logits = predict_logits(model, tokenizer, texts, RECIPE.max_length)
                return logits[:, : len(names)], ngrams.scores([normalise(t) for t in texts])

            weight, _ = fit_blend(
                *outputs([it.text for it in held]),
                np.array([taxonomy.index(it.primary) for it in held]),
                len(names),
            )
            logits, margins = outputs(unseen)
            said = {
                "encoder": logits.argmax(1),
                "with n-grams": blend(logits, margins, weight).argmax(1),
                "TF-IDF + LinearSVC": tfidf_svc([titles[i] for i in train], labels[train], unseen),
            }
            for name, guess in said.items():
                found[name].append(f1_score(labels[test], guess, average="macro"))
            print(f"fold {k + 1}: " + _line({name: v[-1] for name, v in found.items()}))
    print("macro-F1 on average: " + _line({name: np.mean(v) for name, v in found.items()}))


def _line(figures: dict[str, Any]) -> str:
    return "   ".join(f"{name} {value:.4f}" for name, value in figures.items())


if __name__ == "__main__":
    main()
