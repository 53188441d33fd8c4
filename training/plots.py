"""The pictures of an evaluation, as PNG or SVG by the name of the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager, pyplot
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay

matplotlib.use("Agg")

_FONTS = (
    "Noto Sans CJK SC",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
)
_BINS = 15


@contextmanager
def chinese() -> Iterator[bool]:
    """Draw with a Chinese font; gives whether the machine has one (else use the ids)."""
    installed = {f.name for f in font_manager.fontManager.ttflist}
    fonts = [f for f in _FONTS if f in installed]
    with pyplot.rc_context(
        {"font.sans-serif": [*fonts, "DejaVu Sans"], "axes.unicode_minus": False}
    ):
        yield bool(fonts)


@contextmanager
def for_pages() -> Iterator[None]:
    """Draw SVG whose words are left to the fonts of whoever opens the page."""
    with pyplot.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def confusion(
    gold: np.ndarray,
    guess: np.ndarray,
    names: Sequence[str],
    path: Path,
    axis_names: tuple[str, str] = ("predicted", "label"),
) -> None:
    """Confusion matrix, rows labelled, columns predicted."""
    figure, axes = pyplot.subplots(figsize=(9, 8))
    ConfusionMatrixDisplay.from_predictions(
        gold,
        guess,
        labels=range(len(names)),
        display_labels=names,
        xticks_rotation=60,
        cmap="Blues",
        colorbar=False,
        ax=axes,
    )
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    _save(figure, path)


def reliability(
    confidence: np.ndarray,
    correct: np.ndarray,
    path: Path,
    axis_names: tuple[str, str] = ("confidence", "accuracy"),
) -> None:
    """Reliability diagram over bins of equal mass."""
    figure, axes = pyplot.subplots(figsize=(5, 5))
    CalibrationDisplay.from_predictions(
        correct, confidence, n_bins=_BINS, strategy="quantile", ax=axes
    )
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    if legend := axes.get_legend():
        legend.remove()
    _save(figure, path)


def coverage_risk(
    confidence: np.ndarray,
    correct: np.ndarray,
    path: Path,
    axis_names: tuple[str, str] = ("coverage", "error"),
) -> None:
    """Error among the surest messages against their share of all."""
    wrong = (~correct[np.argsort(-confidence, kind="stable")]).cumsum()
    n = np.arange(1, len(wrong) + 1)
    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.plot(n / len(n), wrong / n)
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1], ylim=(0, None))
    axes.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
