"""Other classifiers, trained on the same data in the same run, to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC


def tfidf_svc(texts: Sequence[str], labels: np.ndarray, unseen: Sequence[str]) -> np.ndarray:
    """Char-TF-IDF (1–3) + LinearSVC: class indices for `unseen`, shape (len(unseen),)."""
    model = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True),
        LinearSVC(C=0.5),
    )
    model.fit(texts, labels)
    return np.asarray(model.predict(unseen))
