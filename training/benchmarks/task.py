"""The public task's data, and our way of training on part of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier.decision import blend
from classifier.taxonomy import Category, Taxonomy
from training.calibrate import fit_blend
from training.corpus import Item, labels_of
from training.data_check import Parts
from training.learn import Learned, Outputs, learn, read
from training.train import Recipe, fine_tune


@dataclass(frozen=True)
class Task:
    """Titles of letters, the department each went to, and near-duplicate groups.

    `labels` are class indices, int of shape (n,); `groups` has length n.
    """

    taxonomy: Taxonomy
    titles: list[str]
    labels: np.ndarray
    groups: list[int]

    @classmethod
    def read(cls, path: Path) -> Task:
        """Read ``public7.jsonl``; letters without a title are left out."""
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        found = [row for row in rows if row["title"]]
        names = sorted({row["label"] for row in found})
        return cls(
            Taxonomy(
                name="public7",
                categories=tuple(
                    Category(id=f"c{i}", name=name, scope=name, office=name)
                    for i, name in enumerate(names)
                ),
                abstain="",
            ),
            [row["title"] for row in found],
            np.array([names.index(row["label"]) for row in found]),
            [row["group"] for row in found],
        )

    def items(self, indices: Sequence[int]) -> list[Item]:
        """Labelled suggestions, as training reads them."""
        return [
            Item(self.titles[i], self.taxonomy.ids[self.labels[i]], group=self.groups[i])
            for i in indices
        ]


def train_and_predict(
    parts: Parts,
    taxonomy: Taxonomy,
    unseen: Sequence[str],
    base: str | Path,
    work: Path,
    recipe: Recipe,
) -> tuple[np.ndarray, np.ndarray]:
    """Class indices of `unseen` by the encoder alone, and with the n-grams beside it.

    As ``weilei train`` does it.
    """
    learned = learn(parts, taxonomy, base, work, recipe, fine_tune)
    return predict(learned, taxonomy, unseen, recipe)


def predict(
    learned: Learned, taxonomy: Taxonomy, unseen: Sequence[str], recipe: Recipe
) -> tuple[np.ndarray, np.ndarray]:
    """Class indices of `unseen` by what was learned: the encoder alone, and with the n-grams."""
    k = len(taxonomy)

    def said(texts: Sequence[str]) -> Outputs:
        return read(learned.checkpoint, learned.ngrams, texts, recipe.max_length)

    held = learned.outputs or said([it.full_text for it in learned.calibration])
    labels = labels_of(learned.calibration, taxonomy)
    weight, _ = fit_blend(held.logits, held.margins, labels, k)
    found = said(unseen)
    both = blend(found.logits, found.margins, weight)
    return found.logits[:, :k].argmax(1), both[:, :k].argmax(1)


def line(figures: dict[str, float]) -> str:
    """Name and figure, side by side."""
    return "   ".join(f"{name} {value:.4f}" for name, value in figures.items())
