"""Labels that look wrong: confident learning (Northcutt et al. 2021, arXiv:1911.00068)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from classifier.bundle import shipped_model
from classifier.taxonomy import Taxonomy
from training.corpus import Item
from training.features import pooled_features

_FOLDS = 4
_MOST = 20_000  # items looked at
_LENGTH = 128


@dataclass(frozen=True)
class Suspect:
    """An item whose label is probably not the right one."""

    item: Item
    given: str
    suggested: str
    confidence: float


def suspects(items: Sequence[Item], taxonomy: Taxonomy, most: int = 30) -> list[Suspect]:
    """The most suspicious labels, the worst first.

    Each item is judged by a logistic regression that saw neither it nor its
    near-duplicates, on the features of the shipped encoder, which has seen no
    label of this city. A class of one group only has nothing to be judged by.
    """
    items = list({it.where: it for it in items}.values())[:_MOST]
    n_groups = Counter(c for c, _ in {(it.primary, it.group) for it in items})
    items = [it for it in items if n_groups[it.primary] > 1]
    classes = sorted({it.primary for it in items}, key=taxonomy.index)
    if len(classes) < 2:
        return []
    labels = np.array([classes.index(it.primary) for it in items])
    groups = np.array([it.group for it in items])
    folds = min(_FOLDS, *(n_groups[c] for c in classes))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-2))
    probabilities = np.full((len(items), len(classes)), 1e-6)
    splits = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    features = pooled_features(shipped_model(), [it.full_text for it in items], _LENGTH)
    for train, test in splits.split(features, labels, groups):
        fitted = model.fit(features[train], labels[train])
        probabilities[np.ix_(test, fitted.classes_)] += fitted.predict_proba(features[test])
    probabilities /= probabilities.sum(1, keepdims=True)
    ranked = find_label_issues(
        labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    names = {c.id: c.name for c in taxonomy}
    return [
        Suspect(
            items[i],
            names[items[i].primary],
            names[classes[int(probabilities[i].argmax())]],
            float(probabilities[i].max()),
        )
        for i in ranked[:most]
        if probabilities[i].argmax() != labels[i]
    ]
