"""A city that training never saw: the base encoder learns from everything but one source.

It is then measured on the natural messages of that source, as is a linear peer
that learnt from the same. Calibration (the weight of the n-grams) is without
that source, too.

python -m training.benchmarks.unseen_city ../shared/data/labelled.jsonl build/messages.jsonl \\
    training/data/corpus.jsonl [--without dongguan] [--epochs 3] [--work build/unseen]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from classifier.bundle import shipped_model
from classifier.taxonomy import Taxonomy
from training.base import build_base
from training.benchmarks.task import line, train_and_predict
from training.corpus import Item, labels_of, read_items, split_by_group, with_groups
from training.data_check import Parts
from training.peers import tfidf_svc
from training.progress import quiet_libraries
from training.train import Recipe


def natural(files: list[Path], items: list[Item], source: str) -> list[Item]:
    """Messages of a source that were drawn at random, as their file says (``picked``)."""
    drawn = {
        f"{file} 第 {n} 行"
        for file in files
        for n, row in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if json.loads(row).get("picked") == "natural"
    }
    return [it for it in items if it.source == source and it.where in drawn]


def main() -> None:
    """Print accuracy and macro-F1 of the encoder, with the n-grams, and of the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--without", default="dongguan", help="the source that is left out")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--work", type=Path, default=Path("build/unseen"))
    arguments = parser.parse_args()
    quiet_libraries()
    taxonomy = Taxonomy.load(shipped_model() / "taxonomy.toml")
    items = [it for file in arguments.data for it in read_items(file, taxonomy)]
    unseen = natural(arguments.data, items, arguments.without)
    items = with_groups([it for it in items if it.source != arguments.without])
    recipe = replace(Recipe(), epochs=arguments.epochs, validation_share=0.02)
    known = [it for it in items if it.split in ("train", "")]
    train, validation = split_by_group(known, recipe.validation_share, recipe.seed)
    calibration = [it for it in items if it.split == "calibration"]
    print(f"{len(train)} to learn from, {len(unseen)} of {arguments.without}", flush=True)
    texts, gold = [it.full_text for it in unseen], labels_of(unseen, taxonomy)
    linear = tfidf_svc([it.full_text for it in known], labels_of(known, taxonomy), texts)
    arguments.work.mkdir(parents=True, exist_ok=True)
    base = build_base(arguments.work / "base")
    alone, both = train_and_predict(
        Parts(train, validation, calibration, []), taxonomy, texts, base, arguments.work, recipe
    )
    said = {"encoder": alone, "with n-grams": both, "TF-IDF + LinearSVC": linear}
    print("accuracy: " + line({n: float(np.mean(s == gold)) for n, s in said.items()}))
    print(
        "macro-F1: " + line({n: float(f1_score(gold, s, average="macro")) for n, s in said.items()})
    )


if __name__ == "__main__":
    main()
