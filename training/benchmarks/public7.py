"""The public task: 7 departments from the title of a letter (泰迪杯 2020, C题).

Five folds, whole near-duplicate groups together. Each fold trains the base
encoder (never our fine-tuned one: it may have read the letters), alone and with
the n-grams beside it as in a model folder, and a linear peer on the same titles,
and measures them on the rest.

python -m training.benchmarks.public7 ../shared/data/public7.jsonl
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold

from training.base import build_base
from training.benchmarks.task import Task, line, train_and_predict
from training.corpus import split_by_group
from training.data_check import Parts
from training.peers import tfidf_svc
from training.progress import quiet_libraries
from training.train import Recipe

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
    task = Task.read(arguments.data)
    found: dict[str, list[float]] = {"encoder": [], "with n-grams": [], "TF-IDF + LinearSVC": []}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        base = build_base(work / "base")
        folds = GroupKFold(5, shuffle=True, random_state=0)
        parts = list(folds.split(task.titles, task.labels, task.groups))
        for k, (train, test) in enumerate(parts[: arguments.folds]):
            unseen = [task.titles[i] for i in test]
            known, held = split_by_group(task.items(train), _HELD, RECIPE.seed)
            chosen = split_by_group(known, RECIPE.validation_share, RECIPE.seed)
            alone, both = train_and_predict(
                Parts(*chosen, held, []), task.taxonomy, unseen, base, work / str(k), RECIPE
            )
            linear = tfidf_svc([task.titles[i] for i in train], task.labels[train], unseen)
            for name, guess in zip(found, (alone, both, linear), strict=True):
                found[name].append(f1_score(task.labels[test], guess, average="macro"))
            print(f"fold {k + 1}: " + line({name: v[-1] for name, v in found.items()}), flush=True)
    print("macro-F1 on average: " + line({name: float(np.mean(v)) for name, v in found.items()}))


if __name__ == "__main__":
    main()
