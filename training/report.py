"""The report of a training run: one HTML file that needs nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
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
        pictures=_pictures(scored, taxonomy.names) if len(correct) > 1 else {},
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


def _pictures(scored: Scored, names: list[str]) -> dict[str, str]:
    """Title → SVG. Classes that nobody named are not in the confusion matrix."""
    confidence, correct = scored.probabilities.max(1), scored.gold == scored.guess
    present = np.unique([scored.gold, scored.guess])
    gold, guess = np.searchsorted(present, scored.gold), np.searchsorted(present, scored.guess)
    found = {}
    with tempfile.TemporaryDirectory() as scratch, plots.for_pages():
        file = Path(scratch) / "picture.svg"

        def keep(title: str) -> None:
            drawn = file.read_text(encoding="utf-8")
            found[title] = drawn[drawn.index("<svg") :]

        plots.confusion(gold, guess, [names[i] for i in present], file, ("模型说的", "标注"))
        keep("混淆矩阵")
        plots.reliability(confidence, correct, file, ("模型的把握", "真的对了的"))
        keep("可靠性：说有几分把握，就对几分")
        plots.coverage_risk(confidence, correct, file, ("自动处理的份额", "其中错的"))
        keep("自动处理得越多，错得越多")
    return found
