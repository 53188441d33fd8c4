"""Measure a model folder on labelled suggestions that training never saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

from classifier import SuggestionClassifier
from classifier.taxonomy import Taxonomy
from training import plots
from training.corpus import Item
from training.peers import tfidf_svc

HELD_OUT = ("dev", "test")
_ENOUGH = 20  # examples from which a class counts in the macro average


@dataclass(frozen=True)
class Scored:
    """A set of items with what the classifier said of them."""

    name: str
    items: Sequence[Item]
    gold: np.ndarray  # (n,) class indices
    probabilities: np.ndarray  # (n, n_classes)
    auto: np.ndarray  # (n,) whether the lane is auto
    secondary: list[set[str]]

    @property
    def guess(self) -> np.ndarray:
        return np.asarray(self.probabilities.argmax(1))


def score(name: str, items: Sequence[Item], classifier: SuggestionClassifier) -> Scored:
    """Classify `items`."""
    texts = [it.full_text for it in items]
    predictions = classifier.predict(texts)
    by_name = {c.name: c.id for c in classifier.taxonomy}
    return Scored(
        name,
        items,
        np.array([classifier.taxonomy.index(it.primary) for it in items]),
        classifier.predict_proba(texts),
        np.array([p.lane == "auto" for p in predictions]),
        [{by_name[s] for s in p.secondary} for p in predictions],
    )


def macro_f1(gold: np.ndarray, guess: np.ndarray, least: int = _ENOUGH) -> float:
    """Mean F1 over the classes with at least `least` examples."""
    classes = [c for c in np.unique(gold) if (gold == c).sum() >= least]
    if not classes:
        return float("nan")
    return float(f1_score(gold, guess, labels=classes, average="macro", zero_division=0))


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins of equal mass."""
    order = np.argsort(confidence, kind="stable")
    parts = [p for p in np.array_split(order, bins) if len(p)]
    gaps = [abs(confidence[p].mean() - correct[p].mean()) * len(p) for p in parts]
    return float(sum(gaps) / len(confidence))


def figures(scored: Scored, taxonomy: Taxonomy, peer: np.ndarray | None) -> dict[str, Any]:
    """All figures of one set, as plain data."""
    gold, guess, p = scored.gold, scored.guess, scored.probabilities
    right = gold == guess
    top2 = np.argsort(-p, axis=1)[:, :2]
    allowed = [{it.primary, *it.secondary} for it in scored.items]
    found: dict[str, Any] = {
        "n": len(gold),
        "accuracy": float(right.mean()),
        "macro_f1": macro_f1(gold, guess),
        "primary_or_secondary": float(
            np.mean([taxonomy.ids[g] in a for g, a in zip(guess, allowed, strict=True)])
        ),
        "top_two": float((top2 == gold[:, None]).any(1).mean()),
        "calibration_error": calibration_error(p.max(1), right),
        "auto_share": float(scored.auto.mean()),
        "auto_error": float(1 - right[scored.auto].mean()) if scored.auto.any() else 0.0,
        "secondary": _secondary(scored),
        "by_class": {
            taxonomy.names[c]: {
                "n": int((gold == c).sum()),
                "f1": float(f1_score(gold == c, guess == c, zero_division=0)),
            }
            for c in range(len(taxonomy))
        },
        "by_register": _by(scored, right, lambda it: it.register),
        "by_indirect": _by(scored, right, lambda it: "不点名" if it.indirect else "点名"),
        "by_source": _by(scored, right, lambda it: it.source),
        "confusion": confusion_matrix(gold, guess, labels=range(len(taxonomy))).tolist(),
    }
    if peer is not None:
        found["peer_tfidf_svc"] = {
            "accuracy": float((peer == gold).mean()),
            "macro_f1": macro_f1(gold, peer),
        }
    return found


def _secondary(scored: Scored) -> dict[str, float]:
    hits = sum(
        len(s & set(it.secondary)) for s, it in zip(scored.secondary, scored.items, strict=True)
    )
    said = sum(map(len, scored.secondary))
    wanted = sum(len(it.secondary) for it in scored.items)
    return {
        "precision": hits / said if said else float("nan"),
        "recall": hits / wanted if wanted else float("nan"),
    }


def _by(scored: Scored, right: np.ndarray, key: Callable[[Item], str]) -> dict[str, Any]:
    names = [key(it) for it in scored.items]
    found = {}
    for name in sorted(set(names) - {""}):
        chosen = np.array([n == name for n in names])
        found[name] = {"n": int(chosen.sum()), "accuracy": float(right[chosen].mean())}
    return found


def evaluate(
    files: dict[str, list[Item]],
    classifier: SuggestionClassifier,
    output: Path,
    *,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Measure `classifier` on the held-out items of each file, beside a linear peer.

    Rows whose split is ``dev`` or ``test`` are measured (all rows of a file
    without splits); rows whose split is ``train`` or empty train the peer.
    Writes ``evaluation.json`` and, for each file, a confusion matrix, a
    reliability diagram and a coverage–risk curve as PNG.

    Args:
        files: name → items.
        output: folder for JSON and PNG; made if missing.
        checkpoint: a folder with the same weights for ``transformers``; if
            given, the labels of both engines are compared.
    """
    taxonomy = classifier.taxonomy
    known = [it for items in files.values() for it in items if it.split == "train"]
    sets = {}
    for name, items in files.items():
        held = [it for it in items if it.split in HELD_OUT]
        sets[name] = held or [it for it in items if not it.split]
    peers: dict[str, np.ndarray] = {}
    if len(known) >= 100:
        unseen = [it.full_text for items in sets.values() for it in items]
        labels = np.array([taxonomy.index(it.primary) for it in known])
        said = tfidf_svc([it.full_text for it in known], labels, unseen)
        at = 0
        for name, items in sets.items():
            peers[name] = said[at : at + len(items)]
            at += len(items)
    output.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"model": classifier.model_id, "sets": {}}
    for name, items in sets.items():
        if not items:
            continue
        scored = score(name, items, classifier)
        report["sets"][name] = figures(scored, taxonomy, peers.get(name))
        if checkpoint is not None:
            report["sets"][name]["same_label_as_torch"] = _agreement(scored, checkpoint, classifier)
        gold, p = scored.gold, scored.probabilities
        with plots.chinese() as has_chinese:
            names = taxonomy.names if has_chinese else taxonomy.ids
            plots.confusion(gold, scored.guess, names, output / f"confusion-{name}.png")
            plots.reliability(p.max(1), gold == scored.guess, output / f"reliability-{name}.png")
            plots.coverage_risk(p.max(1), gold == scored.guess, output / f"coverage-{name}.png")
    (output / "evaluation.json").write_text(
        json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return report


def _agreement(scored: Scored, checkpoint: Path, classifier: SuggestionClassifier) -> float:
    """Share of items with the same label from the fp32 checkpoint in torch."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from classifier.text import normalise

    tokenizer = AutoTokenizer.from_pretrained(str(checkpoint))
    model = AutoModelForSequenceClassification.from_pretrained(
        str(checkpoint), dtype=torch.float32
    ).eval()
    texts = [normalise(it.full_text) for it in scored.items]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    same = 0
    with torch.inference_mode():
        for at in range(0, len(order), 16):
            part = order[at : at + 16]
            batch = tokenizer(
                [texts[i] for i in part],
                truncation=True,
                max_length=classifier.bundle.max_length,
                padding=True,
                return_tensors="pt",
            )
            logits = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).logits
            guess = logits[:, : len(classifier.taxonomy)].argmax(1).numpy()
            same += int((guess == scored.guess[part]).sum())
    return same / len(texts)
