"""What the wheel carries is enough to go on training from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier import SuggestionClassifier
from classifier.bundle import CARD, MANIFEST, RUNTIME_FILES, shipped_model
from training.train import predict_logits
from training.unpack import unpack

TEXTS = ["三路公交车等了四十分钟不来", "老年卡在哪儿办", "楼下烧烤店的油烟天天往屋里灌"]


def test_the_same_model_from_its_8_bit_weights(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for name in (*RUNTIME_FILES, CARD, MANIFEST):
        shutil.copy(shipped_model() / name, runtime / name)
    whole = unpack(runtime, tmp_path / "whole")
    SuggestionClassifier.from_pretrained(whole)  # its manifest fits
    found, wanted = (
        predict_logits(
            AutoModelForSequenceClassification.from_pretrained(folder),
            AutoTokenizer.from_pretrained(folder),
            TEXTS,
            256,
        )
        for folder in (whole, shipped_model())
    )
    assert np.abs(found - wanted).max() < 0.03 * np.ptp(wanted)
    assert (found.argmax(1) == wanted.argmax(1)).all()
