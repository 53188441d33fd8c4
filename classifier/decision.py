"""Room 3: logits, labels and policy in, decision out. Pure functions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classifier.bundle import Calibration
from classifier.taxonomy import Taxonomy

AUTO, REVIEW = "auto", "review"

# Reasons for review, as a clerk reads them; those of the text itself are in text.py.
OUT_OF_SCOPE = "不属于十二类，请人工分办"
UNSURE = "把握不足，请人工判断"


def percent(share: float) -> str:
    """A promise as it was given, never rounded to another one.

    >>> percent(0.005), percent(0.02), percent(0.07)
    ('0.5%', '2%', '7%')
    """
    return f"{share * 100:.10g}%"


@dataclass(frozen=True)
class Alternative:
    """A category that was not chosen, with its calibrated probability."""

    name: str
    id: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the model says about one suggestion.

    Attributes:
        primary: Chinese name of the leading category (主办).
        primary_id: its ASCII id.
        probability: calibrated probability of `primary`, 0–1.
        secondary: Chinese names of co-handling categories (协办), likeliest first.
        alternatives: the next two categories.
        lane: ``auto`` or ``review``.
        reason: why a person should look; empty in lane ``auto``.
        office: responsible office (主办单位) of `primary`.
        cut: the text was longer than the model reads; only its beginning counted.
        model: id of the model.
        evidence: the passages of the text that carried `primary`, strongest first.
    """

    primary: str
    primary_id: str
    probability: float
    secondary: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    lane: str
    reason: str
    office: str
    cut: bool
    model: str
    evidence: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def blend(logits: np.ndarray, margins: np.ndarray, weight: float) -> np.ndarray:
    """Add the margins of the n-grams, shape (n, n_classes), to the encoder's lead logits."""
    found = logits.copy()
    found[:, : margins.shape[1]] += np.float32(weight) * margins
    return found


def lead_probabilities(logits: np.ndarray, n_classes: int, temperature: float) -> np.ndarray:
    """Logits of shape (n, ≥ n_classes) → calibrated probabilities, float32 (n, n_classes)."""
    scaled = logits[:, :n_classes].astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    odds = np.exp(scaled)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)


def trust(probabilities: np.ndarray, encoder: np.ndarray, share: float) -> np.ndarray:
    """How far the leading class may be trusted: a weighted geometric mean, shape (n,).

    A class that only the wording speaks for is wrong more often than its
    probability says on texts unlike those of training, so the encoder's own
    probability of that class counts once more.

    Args:
        probabilities: of both together, shape (n, n_classes).
        encoder: of the encoder alone, same shape.
        share: 0–1, what the encoder alone counts.
    """
    lead = (np.arange(len(probabilities)), probabilities.argmax(1))
    return np.asarray(probabilities[lead] ** (1.0 - share) * encoder[lead] ** share)


def secondary_probabilities(logits: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """Co-handling probabilities, float32 (n, n_classes); 0 for the abstaining class."""
    k = len(taxonomy)
    found = np.zeros((len(logits), k), dtype=np.float32)
    columns = [i for i, c in enumerate(taxonomy) if c.id != taxonomy.abstain]
    if logits.shape[1] == k + len(columns):  # a foreign checkpoint may have no such outputs
        found[:, columns] = 1.0 / (1.0 + np.exp(-np.clip(logits[:, k:], -30, 30)))
    return found


def decide(
    probabilities: np.ndarray,
    trust: float,
    secondary: np.ndarray,
    *,
    taxonomy: Taxonomy,
    calibration: Calibration,
    threshold: float,
    problem: str,
    evidence: tuple[str, ...],
    cut: bool,
    model: str,
) -> Prediction:
    """One suggestion's probabilities → :class:`Prediction`.

    Args:
        probabilities: calibrated, shape (n_classes,).
        trust: what :func:`trust` says of the leading class.
        secondary: co-handling probabilities, shape (n_classes,).
        threshold: least trust for lane ``auto``.
        problem: what is wrong with the text itself, or empty; a text with a
            problem always goes to review.
    """
    order = np.argsort(-probabilities, kind="stable")
    if problem and taxonomy.abstain:
        first = taxonomy.index(taxonomy.abstain)
        order = np.concatenate([[first], order[order != first]])
    best = taxonomy.categories[order[0]]
    reason = problem
    if not reason and best.id == taxonomy.abstain:
        reason = OUT_OF_SCOPE
    if not reason and trust < threshold:
        reason = UNSURE
    co = [
        i
        for i in np.argsort(-secondary, kind="stable")
        if secondary[i] >= calibration.secondary_threshold and i != order[0]
    ]
    return Prediction(
        primary=best.name,
        primary_id=best.id,
        probability=round(float(probabilities[order[0]]), 4),
        secondary=() if problem else tuple(taxonomy.names[i] for i in co[:2]),
        alternatives=tuple(
            Alternative(taxonomy.names[i], taxonomy.ids[i], round(float(probabilities[i]), 4))
            for i in order[1:3]
        ),
        lane=REVIEW if reason else AUTO,
        reason=reason,
        office=best.office,
        cut=cut,
        model=model,
        evidence=() if problem else evidence,
    )
