"""What the encoder of a model folder makes of texts, read off the runtime's own 8-bit file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino

from classifier.bundle import Bundle, sha256
from classifier.encoder import SETTINGS, batches
from classifier.errors import InputError
from classifier.text import TextEncoder, pad
from training.progress import new_bar

# Model and most tokens → text → features: ``--fast`` learns from texts that the report looks
# at again, and reading them is nearly all that it does.
_read_before: dict[tuple[str, int], dict[str, np.ndarray]] = {}


def pooled_features(folder: Path, texts: Sequence[str], max_length: int) -> np.ndarray:
    """What the last linear layer of the model sees, float32 of shape (n, hidden).

    A text is read once in the life of the process.

    Raises:
        ModelError: not a model folder.
        InputError: the model does not end in a linear layer.
    """
    bundle = Bundle.open(folder)
    known = _read_before.setdefault((sha256(folder / "model.onnx"), max_length), {})
    fresh = [text for text in dict.fromkeys(texts) if text not in known]
    if fresh:
        known.update(zip(fresh, _read(bundle, fresh, max_length), strict=True))
    return np.stack([known[text] for text in texts])


def _read(bundle: Bundle, texts: Sequence[str], max_length: int) -> np.ndarray:
    folder = bundle.path
    core = openvino.Core()
    model = core.read_model(str(folder / "model.onnx"))
    node = model.get_results()[0].input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        inputs = [node.input_value(i).get_node() for i in range(node.get_input_size())]
        inputs = [n for n in inputs if n.get_type_name() != "Constant"]
        if not inputs:
            raise InputError(f"{folder} 的模型最后一层不是线性的，--fast 用不了")
        node = inputs[0]
    features = node.input_value(0)
    width = features.get_partial_shape()[1].get_length()
    model.add_outputs(features)
    request = core.compile_model(model, "CPU", SETTINGS).create_infer_request()
    encoded = TextEncoder(folder / "tokenizer.json", max_length).encode(texts)
    found = np.zeros((len(texts), width), dtype=np.float32)
    with new_bar() as bar:
        task = bar.add_task("逐条读", total=len(texts))
        for batch in batches([len(ids) for ids in encoded.ids]):
            rows = [encoded.ids[i] for i in batch]
            ids, mask = pad(rows, bundle.pad_id, max(map(len, rows)))
            found[batch] = request.infer({"input_ids": ids, "attention_mask": mask})[1]
            bar.advance(task, len(batch))
    return found
