"""Room 2: token ids → logits. Knows nothing of text, labels or policy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort

from classifier.errors import ModelError
from classifier.text import pad

_BATCH_TOKENS = 2048  # enough to fill two cores, little enough to stay in cache


class Encoder(Protocol):
    """What the corridor needs of an engine."""

    def encode(
        self, ids: Sequence[Sequence[int]], progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Token ids → logits, float32 of shape (n, n_outputs), same order."""
        ...


class OnnxEncoder:
    """ONNX Runtime on the CPU, in batches of texts of about the same length."""

    def __init__(self, model_file: Path, pad_id: int, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or _cores()
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(model_file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises its own many kinds
            raise ModelError(f"ONNX Runtime 读不了 {model_file}：{error}") from error
        self._pad_id = pad_id
        self.n_outputs = int(self._session.get_outputs()[0].shape[1])

    def encode(
        self, ids: Sequence[Sequence[int]], progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Token ids → logits, float32 of shape (n, n_outputs), same order.

        `progress`, if given, is called with the number of texts of each batch done.
        """
        logits = np.zeros((len(ids), self.n_outputs), dtype=np.float32)
        for batch in batches([len(row) for row in ids]):
            padded, mask = pad([ids[i] for i in batch], self._pad_id)
            (found,) = self._session.run(None, {"input_ids": padded, "attention_mask": mask})
            logits[batch] = found
            if progress:
                progress(len(batch))
        return logits


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in batches of similar length, longest first, at most 2,048 tokens each."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    found: list[list[int]] = []
    room = 0
    for i in order:
        if not found or len(found[-1]) + 1 > room:
            found.append([])
            room = max(1, _BATCH_TOKENS // max(1, lengths[i]))
        found[-1].append(i)
    return found
