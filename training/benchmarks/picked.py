"""Is it worth letting ``weilei suggest-labels`` pick what to label? The public task again.

A first model learns from a few titles of each class. Then 100 more are labelled: those that
it picks from a pool of 3,000, or as many at random. Each seed draws anew, and measures both
on 2,000 titles of other near-duplicate groups.

python -m training.benchmarks.picked ../shared/data/public7.jsonl [--size 8] [--n 100] [--seeds 5]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from classifier import SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.taxonomy import Taxonomy
from training.benchmarks.own_city import draw
from training.benchmarks.task import Task, line, predict, train_and_predict
from training.choose import choose
from training.data_check import Parts, split
from training.learn import learn
from training.progress import quiet_libraries
from training.release import release
from training.train import Recipe, fine_tune

_POOL, _MEASURED = 3000, 2000


def _toml(taxonomy: Taxonomy) -> str:
    """The public task's classes as a taxonomy file."""
    fields = ("id", "name", "scope", "office")
    lines = ["version = 1", f'name = "{taxonomy.name}"', 'abstain = ""']
    for category in taxonomy:
        values = (f"{f} = {json.dumps(getattr(category, f), ensure_ascii=False)}" for f in fields)
        lines += ["[[category]]", *values]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the accuracy with none, with picked and with random labels more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=8, help="titles a class of the first model")
    parser.add_argument("--n", type=int, default=100, help="titles labelled after that")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    quiet_libraries()
    task, recipe = Task.read(arguments.data), Recipe()
    found: dict[str, list[float]] = {"none": [], "picked": [], "random": []}
    for seed in range(arguments.seeds):
        known, others = draw(task, arguments.size, seed, _POOL + _MEASURED)
        pool, measured = others[:_POOL], others[_POOL:]
        pool_groups = {task.groups[i] for i in pool}
        measured = [i for i in measured if task.groups[i] not in pool_groups]
        unseen = [task.titles[i] for i in measured]

        def parts_of(indices: list[int], seed: int = seed) -> Parts:
            return split(task.items(indices), seed, recipe.validation_share, lambda _: None)

        def accuracy(
            parts: Parts, work: Path, unseen: list[str] = unseen, gold: list[int] = measured
        ) -> float:
            said = train_and_predict(parts, task.taxonomy, unseen, shipped_model(), work, recipe)[1]
            return float((said == task.labels[gold]).mean())

        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            learned = learn(
                parts_of(known), task.taxonomy, shipped_model(), scratch / "1", recipe, fine_tune
            )
            said = predict(learned, task.taxonomy, unseen, recipe)[1]
            found["none"].append(float((said == task.labels[measured]).mean()))
            (scratch / "taxonomy.toml").write_text(_toml(task.taxonomy), encoding="utf-8")
            first = release(
                learned.checkpoint, scratch / "model", scratch / "taxonomy.toml",
                learned.calibration, learned.ngrams, outputs=learned.outputs,
            )  # fmt: skip
            titles = [task.titles[i] for i in pool]
            picked = choose(titles, SuggestionClassifier.from_pretrained(first), arguments.n)
            at_random = np.random.default_rng(seed).choice(len(pool), arguments.n, replace=False)
            for way, chosen in (("picked", picked), ("random", at_random.tolist())):
                more = [*known, *(pool[i] for i in chosen)]
                found[way].append(accuracy(parts_of(more), scratch / way))
        print(f"seed {seed}: " + line({way: v[-1] for way, v in found.items()}), flush=True)
    print("on average: " + line({way: float(np.mean(v)) for way, v in found.items()}))


if __name__ == "__main__":
    main()
