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
_CHUNK = 256  # texts at a time, to keep what is in between in cache
_BASE, _SPREAD = np.uint64(1_000_003), np.uint64(0x9E3779B97F4A7C15)


def features(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Buckets of the 1- to 3-grams of normalised texts.

    Returns:
        For each text and bucket that it has, in order of both: the text's index, the bucket
        (both int64), and 1 + log of how often it occurs (float32).
    """
    parts = [text[:_MOST_CHARACTERS] for text in texts]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    codes = "".join(parts).encode("utf-32-le")
    points = np.frombuffer(codes, dtype=np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(parts)), lengths)
    # Characters from here to the end of the text: no n-gram reaches into the next one.
    left = np.repeat(lengths.cumsum(), lengths) - np.arange(len(points))
    keys, gram = [np.zeros(0, dtype=np.int64)], np.zeros(len(points), dtype=np.uint64)
    for order in range(min(ORDERS, len(points))):
        gram = gram[: len(points) - order] * _BASE + points[order:]
        # The order is part of the hash, so that a character is not its own bigram.
        buckets = (gram + np.uint64(order)) * _SPREAD >> np.uint64(64 - BITS)
        whole = left[: len(gram)] > order
        keys.append(owner[: len(gram)][whole] << BITS | buckets[whole].astype(np.int64))
    found, counts = np.unique(np.concatenate(keys), return_counts=True)
    return found >> BITS, found & (2**BITS - 1), (1.0 + np.log(counts)).astype(np.float32)


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
        found = np.tile(self.bias, (len(texts), 1)).astype(np.float32)
        for at in range(0, len(texts), _CHUNK):
            owner, buckets, counts = features(texts[at : at + _CHUNK])
            if not len(owner):
                continue
            values = counts * self.idf[buckets].astype(np.float32)
            starts = np.flatnonzero(np.diff(owner, prepend=-1))  # where each text begins
            norms = np.sqrt(np.add.reduceat(values * values, starts))
            sums = np.add.reduceat(values[:, None] * self.weight[buckets], starts, axis=0)
            known = norms > 0
            margins = sums[known] / norms[known, None] * self.scale
            found[at + owner[starts][known]] += margins
        return found
