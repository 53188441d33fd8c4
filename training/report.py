"""The report of a training run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from sklearn.metrics import f1_score

from classifier import SuggestionClassifier
from classifier.tables.whole import write_whole
from training import plots
from training.corpus import Item
from training.data_check import Parts
from training.evaluate import Scored, calibration_error, macro_f1, promise
from training.gate import Comparison
from training.suspicious import suspects


def write_report(
    path: Path,
    classifier: SuggestionClassifier,
    scored: Scored,
    parts: Parts,
    *,
    warning: str,
    old_id: str,
    old_said: np.ndarray,
    comparison: Comparison,
    training: dict[str, Any],
) -> None:
    """Write the report of `classifier`, measured on the test part as `scored`.

    It holds text of the labelled suggestions, so it stays on this machine.

    Args:
        warning: what the reader must know before using the model, or "".
        old_said: class ids by the model in use, on the same items, shape (n,).
        training: what the manifest records of the run.

    Raises:
        InputError: the file cannot be written.
    """
    taxonomy = classifier.taxonomy
    confidence, correct = scored.probabilities.max(1), scored.gold == scored.guess
    lane = promise(scored, classifier, classifier.max_error)
    page = _template().render(
        model=classifier.model_id,
        taxonomy=taxonomy,
        parts=parts,
        training=training,
        comparison=comparison,
        warning=warning,
        old_id=old_id,
        lane=lane,
        max_error=classifier.max_error,
        macro=macro_f1(scored.gold, scored.guess, least=1),
        calibration_error=calibration_error(confidence, correct) if len(correct) else 0.0,
        rows=_by_class(scored, old_said, parts, classifier),
        pictures=_pictures(scored, taxonomy.names, taxonomy.ids) if len(correct) > 1 else {},
        suspects=suspects(parts.known + parts.calibration, taxonomy),
    )
    write_whole(path, lambda scratch: scratch.write_text(page, encoding="utf-8"))


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("training"), autoescape=select_autoescape(), trim_blocks=True
    )
    return environment.get_template("report.html")


def _by_class(
    scored: Scored, old_said: np.ndarray, parts: Parts, classifier: SuggestionClassifier
) -> list[dict[str, Any]]:
    ids = np.array([it.primary for it in scored.items])
    new_said = np.array(classifier.taxonomy.ids)[scored.guess]

    def f1(said: np.ndarray, c: str) -> float:
        return float(f1_score(ids == c, said == c, zero_division=0))

    def count(items: Sequence[Item], c: str) -> int:
        return sum(it.primary == c for it in items)

    return [
        {
            "name": c.name,
            "known": count(parts.known, c.id),
            "n": count(scored.items, c.id),
            "new": f1(new_said, c.id),
            "old": f1(old_said, c.id),
        }
        for c in classifier.taxonomy
    ]


def _pictures(scored: Scored, names: list[str], ids: list[str]) -> dict[str, str]:
    """Title → picture as a data URL."""
    confidence, correct = scored.probabilities.max(1), scored.gold == scored.guess
    found = {}
    with tempfile.TemporaryDirectory() as scratch, plots.chinese() as has_chinese:
        labels = names if has_chinese else ids
        draw: dict[str, Callable[[Path], None]] = {
            "混淆矩阵（行是标注，列是模型说的）": lambda p: plots.confusion(
                scored.gold, scored.guess, labels, p
            ),
            "可靠性（说有几分把握，就对几分）": lambda p: plots.reliability(confidence, correct, p),
            "覆盖和错误（越往右自动的越多）": lambda p: plots.coverage_risk(confidence, correct, p),
        }
        for title, make in draw.items():
            file = Path(scratch) / "picture.png"
            make(file)
            encoded = base64.b64encode(file.read_bytes()).decode()
            found[title] = f"data:image/png;base64,{encoded}"
    return found
