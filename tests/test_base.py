"""The base encoder against golden vectors of the full-vocabulary model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from classifier import ModelError, Taxonomy
from classifier.bundle import shipped_model
from training.base import build_base, dequantize_q4_0
from training.train import load_base

GOLDEN = Path(__file__).parent / "golden"


def test_a_damaged_base_is_no_full_disk(tmp_path: Path) -> None:
    shutil.copytree(shipped_model(), tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="读不了"):
        load_base(tmp_path / "m", Taxonomy.load(shipped_model() / "taxonomy.toml"))


def test_q4_block() -> None:
    scale = np.float16(0.5)
    nibbles = bytes((j | ((15 - j) << 4)) for j in range(16))
    block = scale.tobytes() + nibbles
    found = dequantize_q4_0(block, 32)
    low = (np.arange(16) - 8) * 0.5
    np.testing.assert_allclose(found, np.concatenate([low, low[::-1]]))


def test_base_agrees_with_the_full_vocabulary(tmp_path: Path) -> None:
    folder = build_base(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    texts = json.loads((GOLDEN / "texts.json").read_text(encoding="utf-8"))
    golden = np.load(GOLDEN / "vectors.npy").astype(np.float32)
    assert len(texts) == len(golden) == 200
    cosines = []
    with torch.inference_mode():
        for text, wanted in zip(texts, golden, strict=True):
            batch = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
            hidden = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).last_hidden_state[0]
            found = hidden.mean(0).numpy()
            cosines.append(found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted))
    assert np.mean(cosines) >= 0.995
    assert sum(p.numel() for p in model.parameters()) < 30e6
