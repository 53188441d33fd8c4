"""Whether a new model may take the place of the one in use: the same items, both models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

from classifier import Prediction
from classifier.decision import AUTO, percent

MARGIN = 0.01  # a loss of accuracy up to which it may be noise
_RESAMPLES = 2000
_CONFIDENCE = 0.95
_LESS_AUTO = 0.1  # of all messages
_ENOUGH = 150  # to calibrate on: that many without a mistake promise an error of 2 %


@dataclass(frozen=True)
class Comparison:
    """Accuracy of both on `n` items, and the paired bootstrap interval of the difference.

    `forgot` says that the new model is worse on the items of classes that the old one has, too.
    """

    n: int
    new: float
    old: float
    low: float
    high: float
    forgot: bool = False

    @property
    def accepted(self) -> bool:
        """Better, or worse by so little that chance explains it.

        On few items chance explains a lot, so a loss of more than a point is
        never put down to it.
        """
        gain = self.new - self.old
        return (
            self.n > 1 and not self.forgot and (gain >= 0 or (gain >= -MARGIN and self.high >= 0))
        )

    def sentence(self) -> str:
        """The comparison for a reader."""
        return (
            f"同样 {self.n} 条没有参加训练的：新模型准确率 {self.new:.3f}，"
            f"现在用的 {self.old:.3f}，相差 {self.new - self.old:+.3f}"
            f"（95% 区间 {self.low:+.3f} 到 {self.high:+.3f}）"
        )


def lane_warning(
    new: Sequence[Prediction], old: Sequence[Prediction], n_calibration: int, max_error: float
) -> str:
    """What to say if much less goes through by itself than with the model in use, or ""."""
    shares = [sum(p.lane == AUTO for p in found) / max(1, len(found)) for found in (new, old)]
    if shares[0] >= shares[1] - _LESS_AUTO:
        return ""
    few = n_calibration < _ENOUGH
    why = f"校准只有 {n_calibration} 条，一共标到 200 条以上会好；" if few else ""
    return (
        f"注意：要担保错误率 {percent(max_error)}，自动通道只占 {shares[0]:.0%}"
        f"（现在用的模型 {shares[1]:.0%}），其余都要人看。{why}打标时可以用 --max-error 放宽"
    )


def compare(new: np.ndarray, old: np.ndarray) -> Comparison:
    """Compare two models by what each got right, bool arrays of shape (n,) on the same items.

    Percentile interval of the paired bootstrap (Efron & Tibshirani 1993;
    Koehn 2004 for comparing systems on one test set).
    """
    n = len(new)
    if n < 2:
        return Comparison(n, float("nan"), float("nan"), float("nan"), float("nan"))
    found = bootstrap(
        (new.astype(float), old.astype(float)),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        paired=True,
        n_resamples=_RESAMPLES,
        batch=100,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Comparison(n, float(new.mean()), float(old.mean()), float(found.low), float(found.high))
