"""Measure a model folder on labelled suggestions that training never saw."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix, f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier import Prediction, SuggestionClassifier
from classifier.decision import AUTO, OUT_OF_SCOPE, UNSURE, blend
from classifier.errors import InputError
from classifier.taxonomy import Taxonomy
from classifier.text import normalise
from training import plots
from training.corpus import Item, Say
from training.peers import all_peers, tfidf_svc
from training.robustness import flips
from training.train import predict_logits

HELD_OUT = ("dev", "test")
_ENOUGH = 20  # examples from which a class counts in the macro average
_PROMISES = (0.05, 0.02)
_RESAMPLES = 200
_EXPLAINED = 150  # messages of a set whose evidence is checked


@dataclass(frozen=True)
class Scored:
    """A set of items with what the classifier said of them."""

    name: str
    items: Sequence[Item]
    gold: np.ndarray  # (n,) class indices
    guess: np.ndarray  # (n,) class indices, as decided: what cannot be read abstains
    probabilities: np.ndarray  # (n, n_classes)
    trust: np.ndarray  # (n,), what the lane threshold is compared with
    predictions: list[Prediction]


def score(name: str, items: Sequence[Item], classifier: SuggestionClassifier) -> Scored:
    """Classify `items`."""
    outputs = classifier.run([it.full_text for it in items])
    predictions = classifier.decide(outputs)
    index = classifier.taxonomy.index
    return Scored(
        name,
        items,
        np.array([index(it.primary) for it in items], dtype=int),
        np.array([index(found.primary_id) for found in predictions], dtype=int),
        classifier.probabilities(outputs),
        classifier.trust(outputs),
        predictions,
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


def figures(scored: Scored, classifier: SuggestionClassifier) -> dict[str, Any]:
    """All figures of one set, as plain data."""
    taxonomy = classifier.taxonomy
    gold, guess, p = scored.gold, scored.guess, scored.probabilities
    right = gold == guess
    top2 = np.argsort(-p, axis=1)[:, :2]
    allowed = [{it.primary, *it.secondary} for it in scored.items]
    auto = np.array([found.lane == AUTO for found in scored.predictions])
    return {
        "n": len(gold),
        "accuracy": float(right.mean()),
        "macro_f1": macro_f1(gold, guess),
        "primary_or_secondary": float(
            np.mean([taxonomy.ids[g] in a for g, a in zip(guess, allowed, strict=True)])
        ),
        "top_two": float((top2 == gold[:, None]).any(1).mean()),
        "calibration_error": calibration_error(p.max(1), right),
        "promises": {str(m): promise(scored, classifier, m) for m in _PROMISES},
        "secondary": _secondary(scored, taxonomy),
        "by_class": {
            taxonomy.names[c]: {
                "n": int((gold == c).sum()),
                "f1": float(f1_score(gold == c, guess == c, zero_division=0)),
                "auto_share": _mean(auto[guess == c]),
                "auto_error": _mean(~right[auto & (guess == c)]),
            }
            for c in range(len(taxonomy))
        },
        "by_register": _by(scored, right, lambda it: it.register),
        "by_indirect": _by(scored, right, lambda it: "不点名" if it.indirect else "点名"),
        "by_source": _by(scored, right, lambda it: it.source),
        "confusion": confusion_matrix(gold, guess, labels=range(len(taxonomy))).tolist(),
        "flips": flips([it.full_text for it in scored.items], classifier),
        "evidence_alone": evidence_alone(scored, classifier),
    }


def promise(
    scored: Scored, classifier: SuggestionClassifier, max_error: float, seed: int = 0
) -> dict[str, float]:
    """Lane ``auto`` when at most `max_error` of it may be wrong.

    Returns:
        threshold, share of messages in the lane, share of these that is
        wrong, and in how many of 200 bootstrap resamples the promise holds.
    """
    threshold = classifier.bundle.calibration.threshold(max_error)
    sure = scored.trust >= threshold
    auto = sure & np.array([found.reason in ("", UNSURE) for found in scored.predictions], bool)
    wrong = scored.gold != scored.guess
    rng = np.random.default_rng(seed)
    kept = 0
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, len(auto), len(auto))
        kept += bool(_mean(wrong[drawn][auto[drawn]]) <= max_error)
    return {
        "threshold": threshold,
        "share": float(auto.mean()),
        "error": _mean(wrong[auto]),
        "kept": kept / _RESAMPLES,
    }


def evidence_alone(scored: Scored, classifier: SuggestionClassifier) -> float:
    """Share of messages whose evidence, read alone, gets the label of the whole."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(scored.items))[:_EXPLAINED]
    texts = [scored.items[i].full_text for i in chosen]
    whole = classifier.predict(texts)
    alone = classifier.predict(["，".join(found.evidence) for found in whole])
    return float(np.mean([a.primary == w.primary for a, w in zip(alone, whole, strict=True)]))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _secondary(scored: Scored, taxonomy: Taxonomy) -> dict[str, float]:
    ids = {c.name: c.id for c in taxonomy}
    said = [{ids[s] for s in found.secondary} for found in scored.predictions]
    wanted = [set(it.secondary) for it in scored.items]
    hits = sum(len(s & w) for s, w in zip(said, wanted, strict=True))
    n_said, n_wanted = sum(map(len, said)), sum(map(len, wanted))
    return {
        "precision": hits / n_said if n_said else float("nan"),
        "recall": hits / n_wanted if n_wanted else float("nan"),
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
    peers: bool = False,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Measure `classifier` on the held-out items of each file, beside a linear peer.

    Rows whose split is ``dev`` or ``test`` are measured (all rows of a file
    without splits); rows whose split is ``train`` train the peers.
    Writes ``evaluation.json`` and, for each file, a confusion matrix, a
    reliability diagram and a coverage–risk curve as PNG.

    Args:
        files: name → items.
        output: folder for JSON and PNG; made if missing.
        checkpoint: a folder with the same weights for ``transformers``; if
            given, the labels of both engines are compared.
        peers: compare with all of ``training.peers``, not only the linear one.
        say: is told which peers were left out, for want of their library.

    Raises:
        InputError: nothing is left to measure on, or `output` cannot be written.
    """
    taxonomy = classifier.taxonomy
    known = [it for items in files.values() for it in items if it.split == "train"]
    sets = {}
    for name, items in files.items():
        held = [it for it in items if it.split in HELD_OUT]
        if measured := held or [it for it in items if not it.split]:
            sets[name] = measured
    if not sets:
        raise InputError("没有可以用来评测的行：split 要是 dev 或 test，或者不写 split")
    _make(output)
    report: dict[str, Any] = {"model": classifier.model_id, "sets": {}}
    for name, items in sets.items():
        scored = score(name, items, classifier)
        report["sets"][name] = figures(scored, classifier)
        report["sets"][name]["held_out"] = all(it.split in HELD_OUT for it in items)
        if checkpoint is not None:
            report["sets"][name]["torch"] = against_torch(scored, checkpoint, classifier)
        _draw(scored, taxonomy, output)
    if len(known) >= 100:
        compare(known, sets, taxonomy, report, peers, say)
    (output / "evaluation.json").write_text(
        json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return report


def _make(folder: Path) -> None:
    """Make a folder if missing, and see that files can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"写不了文件夹 {folder}（{error.strerror}），请用 -o 换个位置") from None


def compare(
    known: Sequence[Item],
    sets: dict[str, list[Item]],
    taxonomy: Taxonomy,
    report: dict[str, Any],
    every: bool,
    say: Say,
) -> None:
    """Train peers on `known` and add their figures on each set to `report`."""
    chosen = all_peers(taxonomy) if every else {"字 TF-IDF + LinearSVC": tfidf_svc}
    texts = [it.full_text for it in known]
    labels = np.array([taxonomy.index(it.primary) for it in known])
    unseen = [it.full_text for items in sets.values() for it in items]
    for title, peer in chosen.items():
        try:
            said, at = peer(texts, labels, unseen), 0
        except ModuleNotFoundError as error:  # no extra brings it
            say(f"没有比“{title}”：要先安装，pip install {error.name}")
            continue
        for name, items in sets.items():
            gold = np.array([taxonomy.index(it.primary) for it in items])
            guess = said[at : at + len(items)]
            at += len(items)
            report["sets"][name].setdefault("peers", {})[title] = {
                "accuracy": float((guess == gold).mean()),
                "macro_f1": macro_f1(gold, guess),
            }


def _draw(scored: Scored, taxonomy: Taxonomy, output: Path) -> None:
    confidence, right = scored.probabilities.max(1), scored.gold == scored.guess
    with plots.chinese() as has_chinese:
        names = taxonomy.names if has_chinese else taxonomy.ids
        plots.confusion(scored.gold, scored.guess, names, output / f"confusion-{scored.name}.png")
        plots.reliability(confidence, right, output / f"reliability-{scored.name}.png")
        plots.coverage_risk(confidence, right, output / f"coverage-{scored.name}.png")


def against_torch(
    scored: Scored, checkpoint: Path, classifier: SuggestionClassifier
) -> dict[str, float]:
    """The encoder in fp32 with torch instead of 8-bit ONNX: same labels, and its macro-F1."""
    logits = predict_logits(
        AutoModelForSequenceClassification.from_pretrained(str(checkpoint), dtype=torch.float32),
        AutoTokenizer.from_pretrained(str(checkpoint)),
        [it.full_text for it in scored.items],
        classifier.bundle.max_length,
    )
    margins = classifier.ngrams.scores([normalise(it.full_text) for it in scored.items])
    weight = classifier.bundle.calibration.ngram_weight
    guess = blend(logits, margins, weight)[:, : len(classifier.taxonomy)].argmax(1)
    unread = [found.reason not in ("", UNSURE, OUT_OF_SCOPE) for found in scored.predictions]
    guess = np.where(unread, scored.guess, guess)  # decided without any encoder
    return {
        "same_label": float((guess == scored.guess).mean()),
        "macro_f1": macro_f1(scored.gold, guess),
    }
