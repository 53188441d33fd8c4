"""The corridor: text → Encoded → logits → Prediction. Only this class knows all rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifier import decision, explain
from classifier.bundle import NGRAMS, Bundle, shipped_model
from classifier.decision import Prediction
from classifier.encoder import Encoder, OnnxEncoder
from classifier.errors import InputError, ModelError
from classifier.ngrams import NgramModel
from classifier.registry import model_in_use
from classifier.taxonomy import Taxonomy
from classifier.text import BLANK, UNREADABLE, TextEncoder, normalise, readable, to_text


@dataclass(frozen=True)
class Outputs:
    """What the encoder said of the texts of one call.

    Attributes:
        texts: as they were given; "" where there was nothing to read.
        logits: of the encoder, float32 of shape (n, n_outputs).
        margins: of the n-grams, float32 of shape (n, n_classes).
        problems: what is wrong with each text itself, or "".
        cut: whether the text was longer than the model reads.
    """

    texts: list[str]
    logits: np.ndarray
    margins: np.ndarray
    problems: list[str]
    cut: list[bool]


class SuggestionClassifier:
    """Routes citizen suggestions to the categories of a taxonomy.

    Make one with :meth:`from_pretrained`. Instances are safe to share between
    threads.
    """

    def __init__(
        self,
        bundle: Bundle,
        encoder: Encoder,
        taxonomy: Taxonomy,
    ) -> None:
        self.bundle = bundle
        self.taxonomy = taxonomy
        self.max_error = bundle.calibration.max_error
        self.threshold = bundle.calibration.threshold(self.max_error)
        self._texts = TextEncoder(bundle.path / "tokenizer.json", bundle.max_length)
        self._encoder = encoder
        self.ngrams = NgramModel.load(bundle.path / NGRAMS)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path | None = None,
        *,
        taxonomy: str | Path | None = None,
        max_error: float | None = None,
        threads: int | None = None,
    ) -> SuggestionClassifier:
        """Load a model folder.

        Args:
            path: the folder; without it, the model in use: the one shipped with the
                library unless ``weilei train`` or ``weilei models use`` chose another.
            taxonomy: a ``taxonomy.toml`` whose offices and notes are used
                instead of the model's; its ids must be the same.
            max_error: the promised share of wrong classes in lane ``auto``
                (0–1) instead of the model's own.
            threads: CPU threads; by default all.

        Raises:
            ModelError: the folder is missing, altered, foreign or from another version.
            InputError: `taxonomy` does not fit the model, or `max_error` is out of range.
        """
        bundle = Bundle.open(path if path is not None else model_in_use())
        categories = bundle.taxonomy
        if taxonomy is not None:
            categories = Taxonomy.load(taxonomy)
            if categories.ids != bundle.taxonomy.ids:
                raise InputError(
                    f"分类表 {taxonomy} 的 id 和模型 {bundle.id} 的不一致。"
                    "只能改名称、主办单位和说明；增减类别要用 weilei train 重新训练"
                )
        encoder = OnnxEncoder(bundle.path / "model.onnx", bundle.pad_id, threads)
        return cls(bundle, encoder, categories).with_max_error(max_error)

    def with_max_error(self, max_error: float | None) -> SuggestionClassifier:
        """The same classifier with another promise; both share all parts. None changes nothing.

        Raises:
            InputError: `max_error` is out of range.
        """
        if max_error is None:
            return self
        if not 0 < max_error < 1:
            raise InputError("允许的错误率要在 0 和 1 之间，例如 0.02 表示 2%")
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        other.max_error = max_error
        other.threshold = self.bundle.calibration.threshold(max_error)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """What is copied or sent to another process loads the model folder again there.

        The engine can neither be copied nor written. A promise and a taxonomy of one's own are
        kept.
        """
        # The shipped model may lie elsewhere there.
        shipped = self.bundle.path == shipped_model()
        path = None if shipped else self.bundle.path.resolve()
        threads = getattr(self._encoder, "threads", None)
        return _again, (type(self), path, self.model_id, self.taxonomy, self.max_error, threads)

    @property
    def model_id(self) -> str:
        """Id of the loaded model."""
        return self.bundle.id

    def predict(
        self,
        texts: Iterable[Any],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """Classify suggestions: one :class:`Prediction` a text, same order, same length.

        Blank, unreadable and non-string entries keep their place and come
        back in lane ``review`` with the reason.

        Args:
            texts: any iterable of strings (list, generator, pandas column).
            progress: called with the number of texts done since the last call.

        Raises:
            InputError: `texts` is one string instead of several, or a table.
        """
        return self.decide(self.run(texts, progress))

    def predict_proba(self, texts: Iterable[Any]) -> np.ndarray:
        """Calibrated probabilities, float32 of shape (n, n_classes).

        Columns follow ``taxonomy.ids``. A text that could not be read has the
        same probability for every class.

        Raises:
            InputError: `texts` is one string instead of several, or a table.
        """
        return self.probabilities(self.run(texts))

    def tag_frame(self, frame: Any, text: str | None = None) -> Any:
        """A copy of a pandas or polars frame with class, lane and so on as new columns.

        Args:
            text: the column of the text, or ``标题,内容``; by default recognised by name.

        Raises:
            InputError: no such column, or not a frame.
        """
        # The tables behind it (openpyxl and so on) are slow to import and not needed to predict.
        from classifier.frames import tag_frame

        return tag_frame(self, frame, text)

    def run(self, texts: Iterable[Any], progress: Callable[[int], None] | None = None) -> Outputs:
        """Texts through encoder and n-grams, before any decision.

        Raises:
            InputError: `texts` is one string instead of several, or a table.
        """
        if isinstance(texts, str | bytes):
            raise InputError("请传一个列表，例如 predict([text])，而不是单独一个字符串")
        # They iterate over the names of their columns.
        if isinstance(texts, Mapping) or hasattr(type(texts), "columns"):
            raise InputError('请传一列文字，例如 predict(df["内容"])；整个数据框请用 tag_frame(df)')
        strings, problems = [], []
        for value in texts:
            text, problem = to_text(value)
            strings.append(text)
            problems.append(problem)
        encoded = self._texts.encode(strings)
        for i, (text, ids) in enumerate(zip(encoded.texts, encoded.ids, strict=True)):
            if not problems[i] and not text:
                strings[i], problems[i] = "", BLANK
            elif not problems[i] and not readable(text, ids, self.bundle.unk_id):
                problems[i] = UNREADABLE
        logits = self._encoder.encode(encoded.ids, progress)
        margins = self.ngrams.scores(encoded.texts)
        return Outputs(strings, logits, margins, problems, encoded.cut)

    def probabilities(self, outputs: Outputs) -> np.ndarray:
        """Calibrated probabilities of outputs, as :meth:`predict_proba` gives them."""
        k, calibration = len(self.taxonomy), self.bundle.calibration
        both = decision.blend(outputs.logits, outputs.margins, calibration.ngram_weight)
        found = decision.lead_probabilities(both, k, calibration.temperature)
        found[[bool(p) for p in outputs.problems]] = 1.0 / k
        return found

    def trust(self, outputs: Outputs) -> np.ndarray:
        """What the lane threshold is compared with, float of shape (n,), 0–1."""
        calibration = self.bundle.calibration
        return decision.trust(
            self.probabilities(outputs),
            decision.lead_probabilities(
                outputs.logits, len(self.taxonomy), calibration.temperature
            ),
            calibration.encoder_share,
        )

    def decide(self, outputs: Outputs) -> list[Prediction]:
        """Outputs → one :class:`Prediction` each."""
        probabilities = self.probabilities(outputs)
        trust = self.trust(outputs)
        secondary = decision.secondary_probabilities(outputs.logits, self.taxonomy)
        evidence = explain.evidence(
            outputs.texts,
            probabilities.argmax(1).tolist(),
            lambda pieces: self.ngrams.scores([normalise(piece) for piece in pieces]),
        )
        return [
            decision.decide(
                probabilities[i],
                float(trust[i]),
                secondary[i],
                taxonomy=self.taxonomy,
                calibration=self.bundle.calibration,
                threshold=self.threshold,
                problem=problem,
                evidence=evidence[i],
                cut=outputs.cut[i],
                model=self.model_id,
            )
            for i, problem in enumerate(outputs.problems)
        ]


def _again(
    cls: type[SuggestionClassifier],
    path: Path | None,
    model_id: str,
    taxonomy: Taxonomy,
    max_error: float,
    threads: int | None,
) -> SuggestionClassifier:
    """A classifier that was copied or written; see :meth:`SuggestionClassifier.__reduce__`."""
    again = cls.from_pretrained(path or shipped_model(), threads=threads)
    if again.model_id != model_id:
        raise ModelError(
            f"存下来的是模型 {model_id}，{again.bundle.path} 里现在是 {again.model_id}。"
            "请放回原来的模型，或者重新载入再存"
        )
    again.taxonomy = taxonomy
    return again.with_max_error(max_error)
