"""Masking of the cells of a table, whatever they hold; their column may say what that is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from classifier.privacy import END, LOCAL, PROVINCES, SIGNS, START, Rule, mask
from classifier.tables.columns import plain_name

_PHONE = re.compile(
    "电话|座机|固话|手机|联系方式|(?:来电|主叫|被叫|回拨|联系)号"
    "|(?<![a-z])tel(?![a-z])|phone|mobile"
)
# A column so called holds what this word would announce in a sentence.
_PASSPORT, _CUE = re.compile("护照|通行证|证件"), "护照:"
# In a column so called even a number whose check digit is wrong is what the name says: it
# was mistyped, or Excel changed its last digits.
_RULES = (
    (
        re.compile("身份证|身份号|证件|id[_-]?card"),
        Rule(
            "id_card", SIGNS["id_card"],
            re.compile(r"(?<!\d)\d(?:[- ]?\d){13,17}(?:[- ]?[\dXx])?(?![\dXx])"),
        ),
    ),
    (
        re.compile("银行卡|卡号|[账帐][号户]"),
        Rule(
            "bank_card", SIGNS["bank_card"],
            re.compile(r"(?<!\d)\d{4}(?:[- ]?\d{4}){3}(?:[- ]?\d{1,3})?(?!\d)"),
        ),
    ),
    (
        re.compile("车牌"),
        Rule(
            "plate", SIGNS["plate"],
            re.compile(
                rf"(?<![A-Za-z0-9])(?:[{PROVINCES}] ?)?[A-Z][·•. -]?"
                r"(?=[A-Z]*\d)[A-Z0-9]{5,6}(?![A-Za-z0-9])",
                re.IGNORECASE,
            ),
        ),
    ),
    (
        _PHONE,
        # Excel drops the 0 of an area code; 400 and 800 are hotlines.
        Rule(
            "landline", SIGNS["landline"],
            re.compile(
                r"(?<!\d)(?!400|800)(?:(?:10|2\d)[2-8]\d{7}|[3-9]\d{2}[2-8]\d{6,7})(?!\d|元)"
            ),
        ),
    ),
)  # fmt: skip
# What is left in a column of phones: numbers without area code, digits too few or too many.
_LEFT = (
    Rule("landline", SIGNS["landline"], re.compile(rf"{START}(?<![48]00[- ]){LOCAL}{END}")),
    Rule(
        "mobile", SIGNS["mobile"],
        re.compile(rf"{START}1[3-9]\d(?:[- ]?\d{{3,5}}){{2}}{END}"),
    ),
)  # fmt: skip
_NAMES = re.compile(
    r".*姓名|(?:联系|来信|写信|来电|来访|投诉|举报|反映|诉求|信访|留言|建议|咨询|求助|申请"
    r"|提出|提交|报修|反馈|当事)人|户主|业主"
)
_NOTE = r"(?:[(（][^()（）]*[)）])?$"  # what stands in brackets behind a name
_SUMS = re.compile(
    rf"(?:额|款|费|费用|补贴|补助|补偿|金|价|价格|投资|预算|造价|工资|收入|支出){_NOTE}"
    r"|金额|[(（][十百千万亿]{0,2}(?:元|人民币)[)）]$"
)
# 电话费, 电话登记日期: not what the name begins with.
_ABOUT = re.compile(rf"(?:日|期限?|时间|时长|时段|次数|数量|年份|月份){_NOTE}")
# Longer ones are no sums, but the numbers of cards.
_SUM = re.compile(r"[¥￥]?[+-]?(?=(?:\D*\d){1,14}\D*$)\d[\d,]*(?:\.\d+)?")
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
        within = [mask_value(v, also, str(key)) for key, v in value.items()]
        return dict(zip(mask_names(value, also), within, strict=True))
    if isinstance(value, list | tuple):
        return type(value)(mask_value(v, also, column) for v in value)
    # Excel keeps phone numbers as floats, Parquet whatever as decimals.
    if _is_whole(value):
        plain = str(int(value))
        masked = _mask_text(plain, also, column)
        return value if masked == plain else masked
    return value


def mask_names(names: Iterable[Any], also: Collection[str]) -> list[Any]:
    """Names of columns or keys, no two alike, masked; of two with one sign the second gets a _2."""
    names = list(names)
    taken, numbers = set(names), Counter[str]()
    found = []
    for name in names:
        sign = masked = mask(name, also) if isinstance(name, str) else name
        if masked != name:
            while masked in taken:
                numbers[sign] += 1
                masked = f"{sign}_{numbers[sign] + 1}"
            taken.add(masked)
        found.append(masked)
    return found


def _is_whole(value: Any) -> bool:
    if isinstance(value, int):  # of any size, which math.isfinite would not take
        return not isinstance(value, bool)
    return isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value)


def _mask_text(text: str, also: Collection[str], column: str) -> str:
    column = plain_name(column)
    if "names" in also and text.strip() and _NAMES.fullmatch(column):
        return SIGNS["names"]
    if _SUMS.search(column):
        return text if _SUM.fullmatch(text.strip()) else mask(text, also)
    if _ABOUT.search(column):
        return mask(text, also)
    text = mask(text, also, [rule for names, rule in _RULES if names.search(column)])
    if _PHONE.search(column):
        text = mask(text, also, _LEFT)
    if _PASSPORT.search(column):
        pieces = _BETWEEN.split(text)
        text = "".join(mask(_CUE + piece, also)[len(_CUE) :] for piece in pieces)
    return text
