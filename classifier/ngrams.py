"""A second opinion beside the encoder: a linear model on hashed character n-grams.

The encoder reads meaning, this reads wording; their mistakes differ, so the sum
of both is right more often, and surest where both agree (wide and deep, Cheng
et al. 2016, arXiv:1606.07792; hashed features, Weinberger et al. 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier.errors import ModelError

BITS = 18
ORDERS = 3
_MOST_CHARACTERS = 400
_BASE, _SPREAD = np.uint64(1_000_003), np.uint64(0x9E3779B97F4A7C15)


def features(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Buckets of the 1- to 3-grams of a normalised text, and 1 + log of their counts."""
    codes = text[:_MOST_CHARACTERS].encode("utf-32-le")
    points = np.frombuffer(codes, dtype=np.uint32).astype(np.uint64)
    hashes, gram = [], np.zeros(len(points), dtype=np.uint64)
    for order in range(ORDERS):
        gram = gram[: len(points) - order] * _BASE + points[order:]
        # The order is part of the hash, so that a character is not its own bigram.
        hashes.append((gram + np.uint64(order)) * _SPREAD >> np.uint64(64 - BITS))
        if len(points) <= order + 1:
            break
    buckets, counts = np.unique(np.concatenate(hashes), return_counts=True)
    return buckets.astype(np.int64), (1.0 + np.log(counts)).astype(np.float32)


@dataclass(frozen=True)
class NgramModel:
    """Weights of the linear model, 8 bits each.

    Attributes:
        weight: int8 of shape (2**18, n_classes).
        scale: float32 (n_classes,); what a weight of 1 stands for.
        bias: float32 (n_classes,).
        idf: float16 (2**18,); 0 for n-grams that training hardly saw.
    """

    weight: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    idf: np.ndarray

    @classmethod
    def load(cls, path: Path) -> NgramModel:
        """Read ``ngrams.npz``.

        Raises:
            ModelError: it cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                return cls(data["weight"], data["scale"], data["bias"], data["idf"])
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"读不了模型文件 {path}：{error}") from error

    @classmethod
    def silent(cls, n_classes: int) -> NgramModel:
        """One that has nothing to say, for encoders that come without."""
        return cls(
            np.zeros((2**BITS, n_classes), dtype=np.int8),
            np.ones(n_classes, dtype=np.float32),
            np.zeros(n_classes, dtype=np.float32),
            np.zeros(2**BITS, dtype=np.float16),
        )

    def save(self, path: Path) -> None:
        """Write ``ngrams.npz``."""
        np.savez_compressed(
            path, weight=self.weight, scale=self.scale, bias=self.bias, idf=self.idf
        )

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Margin of each class for normalised texts, float32 of shape (n, n_classes)."""
        found = np.tile(self.bias, (len(texts), 1))
        for i, text in enumerate(texts):
            buckets, counts = features(text)
            values = counts * self.idf[buckets].astype(np.float32)
            norm = float(np.sqrt((values * values).sum()))
            if norm > 0:
                found[i] += (values / norm) @ self.weight[buckets].astype(np.float32) * self.scale
        return found.astype(np.float32)
