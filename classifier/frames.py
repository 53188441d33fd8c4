"""Data frames of pandas or polars, neither of which this library needs."""

from __future__ import annotations

from typing import Any

from classifier.classifier import SuggestionClassifier
from classifier.errors import InputError
from classifier.tables import text_columns
from classifier.tables.target import PROBABILITY, added_names
from classifier.tagging import ADDED, cells
from classifier.text import is_missing, join_fields

ADDED_TO_FRAMES = ADDED[:-1]  # nobody corrects a frame by hand, so 原判 would be 类别 again
_PROBABILITY = ADDED.index(PROBABILITY)


def tag_frame(classifier: SuggestionClassifier, frame: Any, text: str | None = None) -> Any:
    """A copy of a frame with the columns 类别 协办 置信度 处理通道 原因 依据 主办单位 备选 模型.

    A column of the frame's own that is so called stays, and the added one is 类别（打标）.

    Args:
        frame: a ``pandas.DataFrame`` or ``polars.DataFrame``.
        text: the column of the text, or ``标题,内容``; by default recognised by name.

    Raises:
        InputError: no such column, or not a frame.
    """
    library = type(frame).__module__.partition(".")[0]
    if library not in ("pandas", "polars") or type(frame).__name__ != "DataFrame":
        raise InputError("tag_frame 只认 pandas 或 polars 的 DataFrame；列表请用 predict")
    header = [str(c) for c in frame.columns]
    at = [header.index(name) for name in text_columns(header, text)]
    # By place: a name of pandas' may be a number, or stand twice.
    values = [list(frame.iloc[:, c] if library == "pandas" else frame[:, c]) for c in at]
    if len(values) == 2:
        texts = [join_fields(_string(a), _string(b)) for a, b in zip(*values, strict=True)]
    else:
        texts = values[0]
    added = [cells(p) for p in classifier.predict(texts)]
    names = list(enumerate(added_names(header, ADDED_TO_FRAMES)))
    # The types are said, or a frame without rows would get others.
    if library == "pandas":
        import pandas

        return frame.assign(
            **{
                name: pandas.Series(
                    [row[i] for row in added],
                    index=frame.index,
                    dtype=float if i == _PROBABILITY else str,
                )
                for i, name in names
            }
        )
    import polars

    return frame.with_columns(
        polars.Series(
            name,
            [row[i] for row in added],
            dtype=polars.Float64 if i == _PROBABILITY else polars.String,
        )
        for i, name in names
    )


def _string(value: Any) -> str:
    return "" if is_missing(value) else str(value)
