"""Training on a few dozen examples, end to end, with the real command."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier import SuggestionClassifier
from classifier.bundle import Bundle, shipped_model
from classifier.duplicates import near_duplicate_groups
from classifier.encoder import OnnxEncoder
from classifier.text import TextEncoder, normalise
from tests.conftest import ROOT, Run
from training.calibrate import fit_blend, risk_curve, upper_bound
from training.corpus import Item
from training.evaluate import compare, promise, score
from training.features import pooled_features
from training.peers import fasttext, tfidf_svc
from training.train import predict_logits

CORPUS = ROOT / "training" / "data" / "corpus.jsonl"


def test_fast_and_what_is_worse_does_not_take_over(weilei: Run, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    chosen = {
        c: [r["text"] for r in rows if r["primary"] == c and r["split"] == "train"][:60]
        for c in ("transport", "eldercare")
    }
    # Labels of the training rows changed round: it learns the wrong way and is tested on the right.
    swapped = dict(zip(chosen, reversed(chosen), strict=True))
    labelled = [(t, swapped[c], "train") for c, texts in chosen.items() for t in texts[:40]]
    labelled += [(t, c, "test") for c, texts in chosen.items() for t in texts[40:]]
    with (tmp_path / "反的.jsonl").open("w", encoding="utf-8") as file:
        for text, label, split in labelled:
            row = {"text": text, "primary": label, "split": split}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    model, home = tmp_path / "m", tmp_path / "home"
    shutil.copytree(shipped_model(), model)
    before = (model / "manifest.json").read_bytes()
    done = weilei("train", tmp_path / "反的.jsonl", "-o", model, "--fast", home=home)
    assert done.returncode == 0, done.stderr
    assert "新模型比现在用的差，有的类一个例子也没有，没有换上" in done.stdout.replace("\n", "")
    assert "原来的模型没有动" in done.stdout
    assert (model / "manifest.json").read_bytes() == before
    assert not (home / "current").exists()
    (kept,) = [p for p in (home / "models").iterdir() if p.is_dir()]
    assert SuggestionClassifier.from_pretrained(kept).model_id == kept.name
    assert kept.name in weilei("models", home=home).stdout


def test_frozen_features_are_what_the_head_sees() -> None:
    """The runtime's logits are the head's weights times these features."""
    texts = ["三路公交车等了四十分钟不来", "老年卡在哪儿办，去了两趟都没人"]
    features = pooled_features(shipped_model(), texts, 256)
    model = AutoModelForSequenceClassification.from_pretrained(shipped_model(), dtype=torch.float32)
    head = model.classifier
    made = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    bundle = Bundle.open(shipped_model())
    ids = TextEncoder(shipped_model() / "tokenizer.json", 256).encode(texts).ids
    told = OnnxEncoder(shipped_model() / "model.onnx", bundle.pad_id).encode(ids)
    assert np.abs(made - told).max() < 0.2


def test_transformers_reads_the_shipped_weights_and_agrees() -> None:
    """The same labels from torch in fp32 and from the shipped ONNX.

    99.5 % is asked of real messages and measured by ``weilei evaluate`` (99.8 %); among the
    corpus's short and misleading texts more are near a tie, where a rounding decides.
    """
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    texts = [r["text"] for r in rows if r["split"] == "test"][::2]
    clf = SuggestionClassifier.from_pretrained()
    model = AutoModelForSequenceClassification.from_pretrained(shipped_model(), dtype=torch.float32)
    assert [model.config.id2label[i] for i in range(13)] == clf.taxonomy.names
    tokenizer = AutoTokenizer.from_pretrained(shipped_model())
    logits = predict_logits(model, tokenizer, texts, clf.bundle.max_length)
    encoder = OnnxEncoder(shipped_model() / "model.onnx", clf.bundle.pad_id)
    ids = tokenizer([normalise(t) for t in texts], truncation=True, max_length=256)["input_ids"]
    same = encoder.encode(ids)[:, :13].argmax(1) == logits[:, :13].argmax(1)
    assert same.mean() >= 0.99


def test_blend_and_temperature_are_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(5, p=row) for row in p])
    assert fit_blend(logits * 3, np.zeros_like(logits), labels, 5)[1] == pytest.approx(3, rel=0.1)
    weight, temperature = fit_blend(logits, logits, labels, 5)
    assert (1 + weight) / temperature == pytest.approx(1, rel=0.1)


def test_bound_and_curve() -> None:
    assert upper_bound(0, 100) == pytest.approx(0.0295, abs=1e-3)  # the rule of three
    assert upper_bound(5, 5) == 1
    confidence = np.linspace(1, 0, 100)
    correct = confidence > 0.1
    rows = risk_curve(confidence, correct, [["a"] * 100], total=125)
    assert [r[0] for r in rows] == sorted((r[0] for r in rows), reverse=True)
    assert rows[-1][1] == pytest.approx(0.8)
    assert all(bound >= error for _, _, error, bound in rows)


def test_a_curve_of_nothing() -> None:
    """Few letters to calibrate on may all be 其他, which never goes through."""
    assert risk_curve(np.zeros(0), np.zeros(0, dtype=bool), [[]], total=8) == []


def test_the_bound_is_that_of_the_worst_source() -> None:
    confidence = np.linspace(1, 0, 2000)
    sources = np.array(["good", "bad"] * 1000)
    correct = np.ones(2000, dtype=bool)
    correct[1::10] = False  # a fifth of the bad one
    mixed = risk_curve(confidence, correct, [["one"] * 2000], total=2000)[-1]
    apart = risk_curve(confidence, correct, [["one"] * 2000, sources.tolist()], total=2000)[-1]
    assert mixed[2] == apart[2] == pytest.approx(0.1)
    assert mixed[3] < 0.12
    assert apart[3] > 0.2
    few = np.where(np.arange(2000) < 20, "few", sources)  # says nothing by itself
    assert risk_curve(confidence, correct, [few.tolist()], total=2000)[-1][3] < 0.3


def test_what_cannot_be_read_is_measured_as_decided() -> None:
    """Its probabilities are all the same, so the largest says nothing; it goes to 其他."""
    clf = SuggestionClassifier.from_pretrained()
    items = [Item("啊啊啊啊啊啊啊啊", "other"), Item("老年卡在哪儿办", "eldercare")]
    assert (score("x", items, clf).guess == score("x", items, clf).gold).all()


def test_the_measured_lane_is_the_lane_of_the_classifier(clf: SuggestionClassifier) -> None:
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    test = [r for r in rows if r["split"] == "test"][::20]
    scored = score("x", [Item(r["text"], r["primary"]) for r in test], clf)
    lane = promise(scored, clf, clf.max_error)
    assert lane["share"] == np.mean([p.lane == "auto" for p in scored.predictions])


def test_items_with_the_same_words_are_one_group() -> None:
    text = Item(text="t", title="路灯不亮", primary="cityadmin").full_text
    assert near_duplicate_groups([text, text]) == [0, 0]


def test_a_peer_without_its_library_is_left_out(
    clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = {"fastText": fasttext, "线性": tfidf_svc}
    monkeypatch.setattr("training.evaluate.all_peers", lambda _: peers)
    monkeypatch.setitem(sys.modules, "fasttext", None)
    items = [
        Item(text, c) for text, c in [("路灯不亮", "cityadmin"), ("公交太少", "transport")] * 2
    ]
    report: dict[str, Any] = {"sets": {"x": {}}}
    said: list[str] = []
    compare(items, {"x": items}, clf.taxonomy, report, True, said.append)
    assert list(report["sets"]["x"]["peers"]) == ["线性"]
    assert said == ["没有比“fastText”：要先安装，pip install fasttext"]
