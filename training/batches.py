"""Texts of about the same length together, for encoders that are only read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase


def length_batches(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, size: int = 16
) -> Iterator[tuple[list[int], Any]]:
    """Indices and tokens of texts of about the same length, so that little is padding."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for at in range(0, len(order), size):
        part = order[at : at + size]
        yield (
            part,
            tokenizer(
                [texts[i] for i in part],
                truncation=True,
                max_length=max_length,
                padding=True,
                return_tensors="pt",
            ),
        )
