"""Room 2: token ids → logits. Knows nothing of text, labels or policy."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import openvino
import openvino.opset13 as ops
from openvino.passes import ConstantFolding, Manager

from classifier.errors import ModelError
from classifier.text import pad

_BATCH_TOKENS = 1024  # enough to fill a core, little enough to stay in cache
_FEW = 8  # full batches; for more it pays to have the model ready a second time
# Lengths are padded to a multiple of 16: the engine adds up in blocks of 16, so that a text
# reads the same to the last bit however far beyond its own block it is padded.
_STEP = 16
# With tiles coarser still for few texts: another shape than before costs more than the padding.
_COARSE = 2 * _STEP
# Words of OpenVINO's for instructions that multiply tiles of bfloat16 (half again as fast as
# 8-bit numbers, at the same labels) and for those that multiply 8-bit numbers.
_TILES, _BYTES = "AMX", "DL Boost"
SETTINGS = {
    # Where the processor multiplies tiles, bfloat16 takes its place.
    "INFERENCE_PRECISION_HINT": "f32",
    # Activations are rounded to 8 bits with one scale for 128 values of one token, as the
    # weights are: three times as fast, and a text reads the same alone and in company.
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "128",
    # Several processes on one machine must not all sit on the first core.
    "ENABLE_CPU_PINNING": False,
}


class Encoder(Protocol):
    """What the corridor needs of an engine."""

    def encode(
        self, ids: Sequence[Sequence[int]], progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Token ids → logits, float32 of shape (n, n_outputs), same order."""
        ...


class OnnxEncoder:
    """An ONNX file on the CPU with OpenVINO, in batches of texts of about the same length."""

    def __init__(self, model_file: Path, pad_id: int, threads: int | None = None) -> None:
        core = openvino.Core()
        instructions = _instructions(core)
        self.threads = threads
        self._threads = threads or _cores()
        self._settings: dict[str, Any] = {**SETTINGS, "INFERENCE_NUM_THREADS": self._threads}
        try:
            model = core.read_model(str(model_file))
        except Exception as error:  # the parsers behind it raise their own many kinds
            raise ModelError(f"OpenVINO 读不了 {model_file}：{error}") from error
        if _TILES in instructions:
            self._settings["INFERENCE_PRECISION_HINT"] = "bf16"
            _unpack_weights(model)
        self._compile = partial(core.compile_model, model, "CPU")
        self._few_step = _COARSE if _TILES in instructions else _STEP
        self._pad_id = pad_id
        # Without either OpenVINO multiplies in fp32, where the order of a sum depends on the
        # size of the batch: texts are then read one at a time, which on such a processor
        # takes a sixth to a quarter more time.
        in_batches = _TILES in instructions or _BYTES in instructions
        self._batch_tokens = _BATCH_TOKENS if in_batches else 1
        self._thread = threading.local()  # a request cannot be shared between threads
        self.n_outputs = model.output(0).partial_shape[1].get_length()

    def encode(
        self, ids: Sequence[Sequence[int]], progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Token ids → logits, float32 of shape (n, n_outputs), same order.

        `progress`, if given, is called with the number of texts done since the last call.
        """
        logits = np.zeros((len(ids), self.n_outputs), dtype=np.float32)
        lengths = [len(row) for row in ids]
        many = self._threads > 1 and sum(lengths) > _FEW * _BATCH_TOKENS
        step = _STEP if many else self._few_step
        parts = batches(lengths, self._batch_tokens, step)

        def inputs(batch: list[int]) -> dict[str, np.ndarray]:
            rows = [ids[i] for i in batch]
            padded, mask = pad(rows, self._pad_id, _padded(max(map(len, rows)), step))
            return {"input_ids": padded, "attention_mask": mask}

        if many:
            self._encode_many(parts, inputs, logits, progress)
            return logits
        if not hasattr(self._thread, "request"):
            self._thread.request = self._few.create_infer_request()
        for batch in parts:
            logits[batch] = self._thread.request.infer(inputs(batch))[0]
            if progress:
                progress(len(batch))
        return logits

    def _encode_many(
        self,
        parts: list[list[int]],
        inputs: Callable[[list[int]], dict[str, np.ndarray]],
        logits: np.ndarray,
        progress: Callable[[int], None] | None,
    ) -> None:
        """One batch a core at a time: a fifth faster than every batch on all cores."""
        # Without callbacks into Python: one that still waits for the interpreter's lock as the
        # model is let go keeps both waiting for ever.
        idle = [self._bulk.create_infer_request() for _ in range(2 * self._threads)]
        running: deque[tuple[openvino.InferRequest, list[int]]] = deque()  # one to run, one to wait

        def collect() -> openvino.InferRequest:
            request, batch = running.popleft()
            request.wait()
            logits[batch] = request.get_output_tensor().data
            if progress:
                progress(len(batch))
            return request

        for batch in parts:
            request = idle.pop() if idle else collect()
            request.start_async(inputs(batch))
            running.append((request, batch))
        while running:
            collect()

    # Each takes some 130 MB, so only what is used is made.

    @cached_property
    def _few(self) -> openvino.CompiledModel:
        """The model for few batches, all cores on each."""
        return self._compile({**self._settings, "PERFORMANCE_HINT": "LATENCY"})

    @cached_property
    def _bulk(self) -> openvino.CompiledModel:
        """The same for many; what comes out is the same to the last bit."""
        return self._compile({**self._settings, "NUM_STREAMS": self._threads})


def _unpack_weights(model: openvino.Model) -> None:
    """Turn weights of 8 bits into floating point once, instead of with every batch."""
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _instructions(core: openvino.Core) -> str:
    """What OpenVINO finds in the processor; only a compiled model tells, so a tiny one is."""
    number = ops.parameter([1], np.float32)
    tiny = openvino.Model([ops.relu(number)], [number])
    try:
        return str(core.compile_model(tiny, "CPU").get_property("RUNTIME_REQUIREMENTS"))
    except RuntimeError:  # not an x86 processor
        return ""


def batches(
    lengths: Sequence[int], most: int = _BATCH_TOKENS, step: int = _STEP
) -> list[list[int]]:
    """Indices in batches of about `most` tokens with padding, longest first.

    No text is padded to more than twice its length, but for `step`.
    """
    found: list[list[int]] = []
    room, longest = 0, 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if room < 1 or 2 * _padded(lengths[i], step) < longest:
            longest = _padded(lengths[i], step)
            room = max(1, most // longest)
            found.append([])
        found[-1].append(i)
        room -= 1
    return found


def _padded(length: int, step: int) -> int:
    return max(1, -(-length // step)) * step
