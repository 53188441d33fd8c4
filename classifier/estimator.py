"""The shipped classifier as a scikit-learn estimator, for pipelines and metrics."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from classifier.classifier import SuggestionClassifier
from classifier.errors import MissingExtra

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
except ImportError as error:
    raise MissingExtra("train") from error


class SuggestionEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts category ids with a model folder that is already trained.

    Args:
        path: a model folder; by default the shipped one.
        threads: CPU threads; by default all.

    Attributes:
        classes_: category ids, sorted as scikit-learn expects, in the order of the columns
            of ``predict_proba``.
    """

    def __init__(self, path: str | Path | None = None, threads: int | None = None) -> None:
        self.path = path
        self.threads = threads

    def fit(self, X: Any = None, y: Any = None) -> SuggestionEstimator:
        """Load the model; it is trained already, `X` and `y` are not looked at."""
        self.classifier_ = SuggestionClassifier.from_pretrained(self.path, threads=self.threads)
        self.classes_ = np.sort(self.classifier_.taxonomy.ids)
        return self

    def predict(self, X: Iterable[Any]) -> np.ndarray:
        """Category ids, shape (n,)."""
        return np.array([found.primary_id for found in self._loaded().predict(_texts(X))])

    def predict_proba(self, X: Iterable[Any]) -> np.ndarray:
        """Calibrated probabilities, shape (n, n_classes)."""
        classifier = self._loaded()
        order = np.argsort(classifier.taxonomy.ids)
        return classifier.predict_proba(_texts(X))[:, order]

    def _loaded(self) -> SuggestionClassifier:
        return self.classifier_ if hasattr(self, "classifier_") else self.fit().classifier_

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _texts(X: Any) -> Any:
    """The texts of a table of one column, as scikit-learn hands on what is in its pipelines."""
    shape: Any = getattr(X, "shape", ())
    return np.asarray(X, dtype=object)[:, 0] if len(shape) == 2 and shape[1] == 1 else X
