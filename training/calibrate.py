"""Fit what turns logits into honest probabilities and a promise, on data nothing else saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import beta
from sklearn.metrics import log_loss

from classifier.decision import blend, lead_probabilities, trust

CONFIDENCE = 0.95
MAX_ERROR = 0.02
# Of .0, .3 and .5 the largest share at which the lane lost nothing at 5 % (training/LOG.md).
ENCODER_SHARE = 0.3
_LOG_RANGE = (-3.0, 3.0)
_SOURCE_LEAST = 300  # messages of a source that are bounded by themselves
_POINTS = 1000  # of the curve; with fewer the lowest threshold that keeps a promise may be missed
SECONDARY_UNKNOWN = 0.7  # threshold where no data tell; that of the shipped model is near
SECONDARY_PRECISION = (0.70, 0.60, 0.50)  # the first that can be reached


def fit_blend(
    logits: np.ndarray, margins: np.ndarray, labels: np.ndarray, n_classes: int
) -> tuple[float, float]:
    """The weight of the n-grams and the temperature with the least negative log-likelihood.

    Temperature scaling (Guo et al. 2017) of the sum of two classifiers.

    Args:
        logits: of the encoder, shape (n, ≥ n_classes).
        margins: of the n-grams, shape (n, n_classes).
        labels: class indices, shape (n,).
    """

    def loss(z: np.ndarray) -> float:
        weight, temperature = np.exp(np.clip(z, *_LOG_RANGE))
        p = lead_probabilities(blend(logits, margins, weight), n_classes, temperature)
        p = p.astype(np.float64)
        return float(log_loss(labels, p / p.sum(1, keepdims=True), labels=range(n_classes)))

    found = np.exp(np.clip(minimize(loss, [0.0, 0.0], method="Nelder-Mead").x, *_LOG_RANGE))
    return float(found[0]), float(found[1])


def upper_bound(errors: int, n: int, confidence: float = CONFIDENCE) -> float:
    """One-sided upper confidence bound of an error rate (Clopper & Pearson 1934)."""
    return 1.0 if n == 0 or errors >= n else float(beta.ppf(confidence, errors + 1, n - errors))


def risk_curve(
    confidence: np.ndarray,
    correct: np.ndarray,
    sources: Sequence[Sequence[str]],
    total: int,
) -> list[list[float]]:
    """Rows (threshold, coverage, error, upper bound of the error), thresholds descending.

    The bound is that of the worst source, so that a promise holds for each of
    them and not only for the mix that calibration happens to be: an office's
    own mix is another one.

    Args:
        confidence: what is compared with a threshold, of the messages that may go
            through by themselves, shape (m,).
        correct: whether each of these was right, shape (m,).
        sources: where each of these came from, in one or more ways of telling, each of
            length m: the city, and the file, whose labels are one reader's.
        total: number of all messages, those that never go through included.
    """
    if not len(confidence):  # nothing may go through: no threshold keeps a promise
        return []
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], (~correct[order]).cumsum()
    parts = [
        part for names in sources for part in _by_source(np.asarray(names)[order], ~correct[order])
    ]
    rows: list[list[float]] = []
    for at in np.unique(np.linspace(0, len(order) - 1, _POINTS).astype(int)):
        # Everything as sure as the last one in goes in with it.
        n = int(np.searchsorted(-confidence, -confidence[at], side="right"))
        errors = int(wrong[n - 1])
        bound = max(upper_bound(int(bad[n - 1]), int(all_[n - 1])) for all_, bad in parts)
        row = [float(confidence[at]), n / total, errors / n, bound]
        if not rows or row[0] < rows[-1][0]:
            rows.append([round(v, 6) for v in row])
    return rows


def _by_source(sources: np.ndarray, wrong: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each source: how many of the first k messages are from it, and how many of these wrong.

    Sources too small to bound anything stand together, with the largest if need be.
    """
    names, counts = np.unique(sources, return_counts=True)
    small = np.isin(sources, names[counts < _SOURCE_LEAST])
    if 0 < small.sum() < _SOURCE_LEAST:
        small |= sources == names[counts.argmax()]
    members = [small, *(sources == name for name in set(sources[~small].tolist()))]
    return [(m.cumsum(), (m & wrong).cumsum()) for m in members if m.any()]


def secondary_threshold(scores: np.ndarray, gold: np.ndarray) -> float:
    """The lowest score at which co-handling classes reach the best reachable precision.

    Args:
        scores: shape (n, n_classes).
        gold: whether the class is a secondary label, same shape.
    """
    order = np.argsort(-scores.ravel())
    hits = gold.ravel()[order].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    for wish in SECONDARY_PRECISION:
        good = np.flatnonzero(precision >= wish)
        if len(good) and good[-1] >= 9:  # fewer than ten say nothing about a precision
            return round(float(scores.ravel()[order[good[-1]]]), 4)
    return 0.99


def calibrate(
    logits: np.ndarray,
    margins: np.ndarray,
    secondary: np.ndarray,
    labels: np.ndarray,
    sources: Sequence[Sequence[str]],
    unreadable: np.ndarray,
    gold_secondary: Sequence[Sequence[int] | None],
    n_classes: int,
    abstain: int | None,
) -> dict[str, Any]:
    """The content of ``calibration.json``.

    Args:
        logits: of the encoder, shape (n, ≥ n_classes).
        margins: of the n-grams, shape (n, n_classes).
        secondary: co-handling probabilities, shape (n, n_classes).
        labels: lead class indices, shape (n,).
        sources: where each message came from, as :func:`risk_curve` takes it, each of length n.
        unreadable: whether a message goes to a person whatever the model says, bool (n,).
        gold_secondary: co-handling class indices of each message; None if nobody looked for any.
        abstain: index of the class that always goes to a person, if any.
    """
    weight, temperature = fit_blend(logits, margins, labels, n_classes)
    weight, temperature = round(weight, 4), round(temperature, 4)
    probabilities = lead_probabilities(blend(logits, margins, weight), n_classes, temperature)
    alone = lead_probabilities(logits, n_classes, temperature)
    guess = probabilities.argmax(1)
    through = (guess != (-1 if abstain is None else abstain)) & ~unreadable
    curve = risk_curve(
        trust(probabilities, alone, ENCODER_SHARE)[through],
        (guess == labels)[through],
        [np.asarray(names)[through].tolist() for names in sources],
        total=len(labels),
    )
    gold = np.zeros_like(secondary, dtype=bool)
    for i, found in enumerate(gold_secondary):
        gold[i, list(found or ())] = True
    looked = np.array([found is not None for found in gold_secondary], dtype=bool)
    scores = secondary.copy()
    scores[np.arange(len(guess)), guess] = 0.0
    return {
        "ngram_weight": weight,
        "temperature": temperature,
        "encoder_share": ENCODER_SHARE,
        "secondary_threshold": secondary_threshold(scores[looked], gold[looked])
        if looked.any()
        else SECONDARY_UNKNOWN,
        "max_error": MAX_ERROR,
        "confidence": CONFIDENCE,
        "messages": len(labels),
        "curve": curve,
    }
