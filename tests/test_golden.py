"""Fixed token ids → logits → labels, from the fp32 checkpoint in torch (tests/golden/make.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from classifier import SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.encoder import OnnxEncoder
from classifier.text import TextEncoder

GOLDEN = json.loads((Path(__file__).parent / "golden" / "logits.json").read_text(encoding="utf-8"))


def test_text_to_ids(clf: SuggestionClassifier) -> None:
    texts = TextEncoder(shipped_model() / "tokenizer.json", clf.bundle.max_length)
    found = texts.encode([g["text"] for g in GOLDEN])
    assert found.ids == [g["ids"] for g in GOLDEN]


def test_ids_to_logits_to_labels(clf: SuggestionClassifier) -> None:
    encoder = OnnxEncoder(shipped_model() / "model.onnx", clf.bundle.pad_id)
    found = encoder.encode([g["ids"] for g in GOLDEN])
    wanted = np.array([g["logits"] for g in GOLDEN], dtype=np.float32)
    # 8-bit weights against fp32: a few hundredths of the logits' range.
    assert np.abs(found - wanted).max() < 0.05 * np.ptp(wanted)
    k = len(clf.taxonomy)
    assert [clf.taxonomy.ids[i] for i in found[:, :k].argmax(1)] == [g["label"] for g in GOLDEN]
