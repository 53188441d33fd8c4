"""Slips of the keyboard, and whether labels survive them."""

from __future__ import annotations

import random

import pytest

from classifier import SuggestionClassifier
from tests.conftest import ROOT
from training.corpus import read_items
from training.robustness import PERTURBATIONS, flips
from training.typos import homophones, misspell

CORPUS = ROOT / "training" / "data" / "corpus.jsonl"


def test_homophones() -> None:
    assert "灯" in homophones()["登"]
    assert "登" not in homophones()["登"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_about_that_share_is_mistyped(share: float) -> None:
    text = "小区门口的红绿灯坏了三天没人修老人过马路很危险" * 40
    changed = misspell(text, share, random.Random(0))
    assert abs(len(changed) - len(text)) <= share * len(text)
    assert (changed == text) == (share == 0)


def test_each_perturbation_changes_something() -> None:
    text = "请问12345热线，什么时候能办老年卡？谢谢！" * 10
    for name, change in PERTURBATIONS.items():
        assert change(text, random.Random(0)) != text, name


def test_the_shipped_model_reads_every_form_alike(clf: SuggestionClassifier) -> None:
    texts = [it.text for it in read_items(CORPUS, clf.taxonomy) if it.split == "test"][:150]
    found = flips(texts, clf)
    assert found["隐去个人信息"] <= 0.01
    assert found["全角"] == 0
    assert max(found.values()) <= 0.08
