"""Train the second opinion: TF-IDF of hashed character n-grams + linear SVM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize as unit_length
from sklearn.svm import LinearSVC

from classifier.ngrams import BITS, NgramModel, features
from classifier.text import normalise

_C = 1.0
_LEAST = 2  # texts an n-gram must occur in


def train_ngrams(texts: Sequence[str], labels: np.ndarray, n_classes: int) -> NgramModel:
    """Fit on all `texts`.

    Args:
        labels: class indices, shape (n,); a class without examples gets the
            lowest margin of all.
    """
    owner, buckets, values = features([normalise(text) for text in texts])
    counts = csr_matrix((values, (owner, buckets)), shape=(len(texts), 2**BITS))
    df = np.bincount(counts.indices, minlength=2**BITS)
    idf = np.where(df >= _LEAST, np.log((1 + len(texts)) / (1 + df)) + 1, 0.0).astype(np.float16)
    model = LinearSVC(C=_C, random_state=0).fit(
        unit_length(counts.multiply(idf.astype(np.float32)).tocsr()), labels
    )
    weight = np.zeros((2**BITS, n_classes), dtype=np.float32)
    bias = np.full(n_classes, float(model.intercept_.min()) - 1.0, dtype=np.float32)
    if len(model.classes_) == 2:  # one row for two classes
        weight[:, model.classes_] = np.stack([-model.coef_[0], model.coef_[0]], axis=1)
        bias[model.classes_] = [-model.intercept_[0], model.intercept_[0]]
    else:
        weight[:, model.classes_] = model.coef_.T
        bias[model.classes_] = model.intercept_
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-8) / 127.0
    return NgramModel(
        np.round(weight / scale).astype(np.int8),
        scale.astype(np.float32),
        bias,
        idf,
    )
