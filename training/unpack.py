"""The runtime part of a model folder → a checkpoint that can be trained on.

The wheel leaves out ``model.safetensors``, which is twice as large as all the
rest; the 8-bit weights of ``model.onnx`` are as good a start.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

from classifier import bundle
from classifier.bundle import Bundle
from training.release import TRAINING_FILES

_PREFIX = "model."  # what the exporter puts before the names of transformers


def unpack(folder: Path, target: Path) -> Path:
    """Make `target` a copy of the model folder `folder` with a training part.

    Raises:
        ModelError: `folder` is not a model folder.
    """
    manifest = dict(Bundle.open(folder).manifest)
    del manifest["files"], manifest["format"]
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "model"
        shutil.copytree(folder, whole, ignore=shutil.ignore_patterns(bundle.MANIFEST))
        save_file(weights(folder / "model.onnx"), whole / "model.safetensors", {"format": "pt"})
        bundle.write(whole, target, manifest, TRAINING_FILES)
    return target


def weights(file: Path) -> dict[str, np.ndarray]:
    """The tensors of an exported model under the names of ``transformers``, float32."""
    graph = onnx.load(str(file)).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    found = {
        name.removeprefix(_PREFIX): values
        for name, values in stored.items()
        if name.startswith(_PREFIX) and values.dtype == np.float32 and not name.endswith("_scale")
    }
    for name in [name for name in stored if name.endswith("_shape") and f"{name[:-6]}_q" in stored]:
        table = name.removesuffix("_shape")
        rows = stored[f"{table}_q"].astype(np.float32) * stored[f"{table}_scale"]
        found[table.removeprefix(_PREFIX)] = rows.reshape(len(rows), -1)
    whole = {n.output[0]: n.input for n in graph.node if n.op_type == "DequantizeLinear"}
    bias = {
        one: other
        for n in graph.node
        if n.op_type == "Add"
        for one, other in (n.input, reversed(n.input))
        if other.endswith(".bias")
    }
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in whole:
            rounded, scale = (stored[name] for name in whole[node.input[1]])
            values = rounded.astype(np.float32) * np.repeat(scale, len(rounded) // len(scale), 0)
            name = bias[node.output[0]].removeprefix(_PREFIX)
            found[f"{name.removesuffix('bias')}weight"] = np.ascontiguousarray(values.T)
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in found.items()}
