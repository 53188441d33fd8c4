"""Masking of the cells of a table, whatever they hold; their column may say what that is."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from classifier.privacy import SIGNS, mask
from classifier.tables.columns import plain_name

# A column so called holds what the words behind it would announce in a sentence.
_CUES = (
    (re.compile("电话|座机|固话|手机|联系方式"), "电话:"),
    (re.compile("护照|通行证"), "护照:"),
)
_NAMES = re.compile(r".*姓名|(?:联系|来信|写信|来电|来访|投诉|举报|反映|诉求|信访|留言|建议)人")
_BETWEEN = re.compile(r"([\s,，、;；/]+)")


def mask_value(value: Any, also: Collection[str], column: str = "") -> Any:
    """A value with personal data replaced by signs; a number that is such data becomes text.

    Args:
        also: see :func:`classifier.privacy.mask`.
        column: name of the column, or the key of a nested value.
    """
    if isinstance(value, str):
        return _mask_text(value, also, column)
    if isinstance(value, dict):
        return {key: mask_value(v, also, str(key)) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mask_value(v, also, column) for v in value)
    # Excel keeps phone numbers as floats, Parquet whatever as decimals.
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if number and math.isfinite(value) and value == int(value):
        plain = str(int(value))
        masked = _mask_text(plain, also, column)
        return value if masked == plain else masked
    return value


def _mask_text(text: str, also: Collection[str], column: str) -> str:
    column = plain_name(column)
    if "names" in also and text.strip() and _NAMES.fullmatch(column):
        return SIGNS["names"]
    text = mask(text, also)
    for names, cue in _CUES:
        if names.search(column):
            pieces = _BETWEEN.split(text)
            text = "".join(mask(cue + piece, also)[len(cue) :] for piece in pieces)
    return text
