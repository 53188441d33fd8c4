"""Labelled parts → a checkpoint, its n-grams, and what to calibrate them on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier.ngrams import NgramModel
from classifier.taxonomy import Taxonomy
from classifier.text import normalise
from training.corpus import Item, Say, described, labels_of
from training.data_check import Parts
from training.ngrams import train_ngrams
from training.train import Recipe, predict_logits

FOLDS = 4
_OUTPUTS = "outputs.npz"

# Fits the weights: training.train.fine_tune or training.fast.refit_head.
Teach = Callable[
    [Sequence[Item], Sequence[Item], Taxonomy, str | Path, Path, Recipe], dict[str, float]
]


@dataclass(frozen=True)
class Outputs:
    """What encoder and n-grams say of texts.

    Attributes:
        logits: shape (n, n_outputs).
        margins: of the n-grams, shape (n, n_classes).
    """

    logits: np.ndarray
    margins: np.ndarray


@dataclass(frozen=True)
class Learned:
    """A fitted checkpoint and n-grams.

    Attributes:
        figures: of the fit, for the manifest.
        calibration: suggestions to calibrate on.
        outputs: what models that had not seen these say of them; None if the
            fitted ones have not seen them either.
    """

    checkpoint: Path
    ngrams: NgramModel
    figures: dict[str, float]
    calibration: list[Item]
    outputs: Outputs | None


def learn(
    parts: Parts,
    taxonomy: Taxonomy,
    base: str | Path,
    work: Path,
    recipe: Recipe,
    teach: Teach,
    say: Say = lambda _: None,
) -> Learned:
    """Fit `base` to the training part; the checkpoint goes to ``work/best``.

    Without a calibration part, as where labels are few, everything is learned
    from, and calibration uses what models fitted to three quarters say of the
    fourth (scikit-learn's ``CalibratedClassifierCV`` with ``ensemble=False``).
    """
    work.mkdir(parents=True, exist_ok=True)
    words = _words(parts, taxonomy)
    if parts.calibration:
        figures = teach(parts.train + words, parts.validation, taxonomy, base, work, recipe)
        ngrams = _ngrams(parts.known + words, taxonomy)
        return Learned(work / "best", ngrams, figures, parts.calibration, None)
    say(f"标注不多，全部用来学：先分成 {FOLDS} 份轮流学和校准，再一起学一遍")
    calibration = list(dict.fromkeys(parts.train))  # what is named more than once counts once
    outputs = _cross_fit(parts.train, calibration, words, taxonomy, base, work, recipe, teach)
    gold = labels_of(calibration, taxonomy)
    figures = teach(parts.train + words, [], taxonomy, base, work, recipe)
    figures["accuracy"] = float((outputs.logits[:, : len(taxonomy)].argmax(1) == gold).mean())
    return Learned(
        work / "best", _ngrams(parts.train + words, taxonomy), figures, calibration, outputs
    )


def _cross_fit(
    train: Sequence[Item],
    calibration: Sequence[Item],
    words: Sequence[Item],
    taxonomy: Taxonomy,
    base: str | Path,
    work: Path,
    recipe: Recipe,
    teach: Teach,
) -> Outputs:
    """What is said of each item by models fitted to items of other groups."""
    labels = [it.primary for it in calibration]
    groups = np.array([it.group for it in calibration])
    n = min(FOLDS, len(set(groups.tolist())))
    folds = StratifiedGroupKFold(n, shuffle=True, random_state=recipe.seed)
    said: list[Outputs] = []
    order: list[int] = []
    for fold, (_, held) in enumerate(folds.split(labels, labels, groups)):
        away = set(groups[held].tolist())
        others = [*(it for it in train if it.group not in away), *words]
        place = work / f"fold-{fold}"
        if not (place / _OUTPUTS).is_file():
            place.mkdir(exist_ok=True)
            teach(others, [], taxonomy, base, place, replace(recipe, checkpoints=False))
            texts = [calibration[i].full_text for i in held]
            found = read(place / "best", _ngrams(others, taxonomy), texts, recipe.max_length)
            _keep(found, place)
        with np.load(place / _OUTPUTS) as kept:
            said.append(Outputs(kept["logits"], kept["margins"]))
        order += held.tolist()
    back = np.argsort(order)
    return Outputs(
        np.concatenate([one.logits for one in said])[back],
        np.concatenate([one.margins for one in said])[back],
    )


def _keep(found: Outputs, place: Path) -> None:
    """Write a fold's outputs whole or not at all, then drop its checkpoint, which is large."""
    np.savez(place / "unfinished.npz", logits=found.logits, margins=found.margins)
    (place / "unfinished.npz").replace(place / _OUTPUTS)
    for folder in (path for path in place.iterdir() if path.is_dir()):
        shutil.rmtree(folder)


def read(checkpoint: Path, ngrams: NgramModel, texts: Sequence[str], max_length: int) -> Outputs:
    """What a checkpoint and its n-grams say of `texts`, in fp32."""
    model = AutoModelForSequenceClassification.from_pretrained(str(checkpoint))
    tokenizer = AutoTokenizer.from_pretrained(str(checkpoint))
    return Outputs(
        predict_logits(model, tokenizer, texts, max_length),
        ngrams.scores([normalise(text) for text in texts]),
    )


def _ngrams(items: Sequence[Item], taxonomy: Taxonomy) -> NgramModel:
    return train_ngrams(
        [it.full_text for it in items],
        labels_of(items, taxonomy),
        len(taxonomy),
    )


def _words(parts: Parts, taxonomy: Taxonomy) -> list[Item]:
    """The words of the classes that have examples, without those that something is measured on."""
    known = {it.primary for it in parts.known}
    measured = {normalise(it.full_text) for it in parts.calibration + parts.test}
    return [
        it
        for it in described(taxonomy)
        if it.primary in known and normalise(it.text) not in measured
    ]
