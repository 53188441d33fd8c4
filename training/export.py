"""A fine-tuned checkpoint → ONNX with 8-bit weights."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import PreTrainedModel

_OPSET = 21  # the first with scales by block
_BLOCK, _EMBEDDING_BLOCK = 128, 32


class _Logits(torch.nn.Module):
    """Only what the runtime needs: ids and mask in, logits out."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def to_onnx(model: PreTrainedModel, path: Path) -> None:
    """Write fp32 ONNX with dynamic batch and length.

    Inputs ``input_ids`` and ``attention_mask``, int64 of shape (n, length);
    output ``logits``, float32 of shape (n, n_outputs).
    """
    model.train(False)
    example = torch.full((2, 16), 5, dtype=torch.int64)
    mask = torch.ones_like(example)
    mask[1, 9:] = 0
    n, length = torch.export.Dim("n"), torch.export.Dim("length", max=512)
    shapes = {0: n, 1: length}
    _quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Logits(model),
            (example, mask),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes={"input_ids": shapes, "attention_mask": dict(shapes)},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path))


def _quiet() -> None:
    """The exporters log every node; users want to see none of it."""
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)


def quantise(source: Path, target: Path) -> None:
    """fp32 ONNX → weights in 8 bits with a scale for every 128 (embedding: 32) of an output.

    Plain ONNX (``DequantizeLinear`` by blocks, opset 21), which any engine
    reads; an engine may also round activations by blocks of one token. Nothing
    is scaled over the whole batch, so the same text gives the same logits
    alone and in company, which per-tensor dynamic int8 does not.
    """
    model = onnx.load(str(source))
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = _OPSET
    graph = model.graph
    weights = {w.name: w for w in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "MatMul" and node.input[1] in weights:
            _quantise_matmul(graph, node, weights[node.input[1]])
    _quantise_embedding(graph, weights)
    onnx.save(model, str(target))


def _quantise_matmul(
    graph: onnx.GraphProto, node: onnx.NodeProto, weight: onnx.TensorProto
) -> None:
    values = numpy_helper.to_array(weight).astype(np.float32)
    inputs, outputs = values.shape
    block = _BLOCK if inputs % _BLOCK == 0 else inputs
    blocks = values.reshape(inputs // block, block, outputs)
    rounded, scale = _round_to_int8(blocks, axis=1)
    name = weight.name
    graph.initializer.remove(weight)
    graph.initializer.extend(
        [
            numpy_helper.from_array(rounded.reshape(inputs, outputs), f"{name}_q"),
            numpy_helper.from_array(scale[:, 0, :], f"{name}_scale"),
        ]
    )
    whole = helper.make_node(
        "DequantizeLinear", [f"{name}_q", f"{name}_scale"], [name], axis=0, block_size=block
    )
    graph.node.insert(list(graph.node).index(node), whole)


def _round_to_int8(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Values as int8, and the float32 scales along `axis` that turn them back."""
    scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True), 1e-8) / 127.0
    return np.round(values / scale).astype(np.int8), scale.astype(np.float32)


def _quantise_embedding(graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto]) -> None:
    """Store the largest embedding as int8 with one scale for every 32 weights of a row."""
    gathers = [n for n in graph.node if n.op_type == "Gather" and n.input[0] in weights]
    gather = max(gathers, key=lambda n: int(np.prod(weights[n.input[0]].dims)))
    weight = weights[gather.input[0]]
    values = numpy_helper.to_array(weight).astype(np.float32)
    rows, width = values.shape
    rounded, scale = _round_to_int8(
        values.reshape(rows, width // _EMBEDDING_BLOCK, _EMBEDDING_BLOCK), axis=2
    )
    name, ids, out = weight.name, gather.input[1], gather.output[0]
    graph.initializer.remove(weight)
    graph.initializer.extend(
        [
            numpy_helper.from_array(rounded, f"{name}_q"),
            numpy_helper.from_array(scale, f"{name}_scale"),
            numpy_helper.from_array(np.array([0, 0, width], dtype=np.int64), f"{name}_shape"),
        ]
    )
    nodes = [
        helper.make_node("Gather", [f"{name}_q", ids], [f"{out}_q"]),
        helper.make_node("Cast", [f"{out}_q"], [f"{out}_f"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{name}_scale", ids], [f"{out}_s"]),
        helper.make_node("Mul", [f"{out}_f", f"{out}_s"], [f"{out}_b"]),
        helper.make_node("Reshape", [f"{out}_b", f"{name}_shape"], [out]),
    ]
    at = list(graph.node).index(gather)
    graph.node.remove(gather)
    for offset, node in enumerate(nodes):
        graph.node.insert(at + offset, node)
