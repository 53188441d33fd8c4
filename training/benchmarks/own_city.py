"""A city's own classes with few examples: the public task with 8, 32 or 128 titles a class.

Each seed draws the titles anew, whole near-duplicate groups apart, and measures on
2,000 others. ``weilei train`` splits what it gets (test, calibration, validation)
as it does for an office; its peers learn from all of it.

The shipped encoder has read many of these letters under the twelve classes, never
under these seven: a new city's letters it has not. The figures say how much of the
labels is needed, not how well an unknown city is read.

python -m training.benchmarks.own_city ../shared/data/public7.jsonl [--sizes 8 32 128] [--seeds 5]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from classifier.bundle import shipped_model
from training.benchmarks.task import Task, line, train_and_predict
from training.data_check import split
from training.features import pooled_features
from training.peers import Embeddings, tfidf_svc
from training.progress import quiet_libraries
from training.train import Recipe

_MOST_MEASURED = 2000


def draw(task: Task, size: int, seed: int, unseen: int) -> tuple[list[int], list[int]]:
    """Indices of `size` titles of each class, and of others from other groups."""
    order = np.random.default_rng(seed).permutation(len(task.titles)).tolist()
    chosen: list[int] = []
    groups: set[int] = set()
    left = dict.fromkeys(range(len(task.taxonomy)), size)
    for i in order:
        if left[task.labels[i]] and task.groups[i] not in groups:
            chosen.append(i)
            groups.add(task.groups[i])
            left[task.labels[i]] -= 1
    return chosen, [i for i in order if task.groups[i] not in groups][:unseen]


def main() -> None:
    """Print the mean accuracy of each way of training, and what ours took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--unseen", type=int, default=_MOST_MEASURED, help="titles measured on")
    arguments = parser.parse_args()
    quiet_libraries()
    task, recipe = Task.read(arguments.data), Recipe()
    frozen = pooled_features(shipped_model(), task.titles, recipe.max_length)
    embedded = Embeddings()(task.titles)
    for size in arguments.sizes:
        found: dict[str, list[float]] = {}
        begun = time.perf_counter()
        for seed in range(arguments.seeds):
            known, unseen = draw(task, size, seed, arguments.unseen)
            titles, labels = [task.titles[i] for i in known], task.labels[known]
            others = [task.titles[i] for i in unseen]
            parts = split(task.items(known), seed, recipe.validation_share, lambda _: None)
            with tempfile.TemporaryDirectory() as scratch:
                alone, both = train_and_predict(
                    parts, task.taxonomy, others, shipped_model(), Path(scratch), recipe
                )
            said = {
                "weilei train": both,
                "its encoder alone": alone,
                "TF-IDF + LinearSVC": tfidf_svc(titles, labels, others),
                "shipped encoder, frozen + LR": _regression(frozen, 0.01, labels, known, unseen),
                "base encoder, frozen + LR": _regression(embedded, 100.0, labels, known, unseen),
            }
            for name, guess in said.items():
                found.setdefault(name, []).append(float((guess == task.labels[unseen]).mean()))
        spent = (time.perf_counter() - begun) / arguments.seeds
        means = {name: float(np.mean(v)) for name, v in found.items()}
        print(f"{size} a class: {line(means)}   ({spent:.0f} s a seed)", flush=True)


def _regression(
    features: np.ndarray, c: float, labels: np.ndarray, known: list[int], unseen: list[int]
) -> np.ndarray:
    """Logistic regression with the inverse penalty that was best for these features."""
    model = LogisticRegression(C=c, max_iter=2000).fit(features[known], labels)
    return np.asarray(model.predict(features[unseen]))


if __name__ == "__main__":
    main()
