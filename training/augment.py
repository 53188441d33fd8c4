"""Make one labelled suggestion look as other people would have sent it.

Real messages are long letters with titles; what arrives at an office is also a
title alone, speech without punctuation, a hotline note, a text with somebody's
wrong guess of the office at its end, a text full of typing errors. The label
stays the same in all of them.
"""

from __future__ import annotations

import random
import re

from training.typos import misspell

_SENTENCE_END = re.compile(r"(?<=[。！？!?；;\n])")
_PUNCTUATION = re.compile(r"[，。！？、；：“”‘’（）()…—,.!?;:\"'《》\s]+")
_HOTLINE = (
    "来电人反映：",
    "市民来电称，",
    "诉求人表示",
    "网民留言：",
    "【反映】",
    "来电咨询：",
    "群众反映，",
    "工单内容：",
)
_TAILS = (
    "请{}核实处理。",
    "望{}尽快解决，谢谢！",
    "希望{}重视。",
    "请转{}办理并回复。",
    "建议{}研究。",
)
_SHARES = {"title": 0.12, "body": 0.12, "opening": 0.10, "bare": 0.15, "hotline": 0.08}
_TAIL_SHARE = 0.06
_TYPO_SHARE, _MOST_TYPOS = 0.3, 0.08  # of the rows; of the characters of such a row


def augment(title: str, text: str, offices: list[str], rng: random.Random) -> tuple[str, str]:
    """(title, text) in another dress, or unchanged (about four times in ten)."""
    draw = rng.random()
    for kind, share in _SHARES.items():
        if draw < share:
            title, text = _dress(kind, title, text, rng)
            break
        draw -= share
    if rng.random() < _TAIL_SHARE:
        # The office is drawn at random, so that its name carries no signal.
        office = rng.choice([*offices, "相关部门", "有关部门", "政府"])
        text = text.rstrip() + rng.choice(_TAILS).format(office)
    if rng.random() < _TYPO_SHARE:
        share = rng.uniform(0.01, _MOST_TYPOS)
        title, text = misspell(title, share, rng), misspell(text, share, rng)
    return title, text


def _dress(kind: str, title: str, text: str, rng: random.Random) -> tuple[str, str]:
    if kind == "title" and len(title) >= 6:
        return "", title
    if kind == "body" and title and len(text) >= 20:
        return "", text
    if kind == "opening" and len(text) > 80:
        kept = ""
        for sentence in _SENTENCE_END.split(text):
            kept += sentence
            if len(kept) >= 50:
                break
        return title, kept
    if kind == "bare":
        return "", _PUNCTUATION.sub("", f"{title} {text}" if title else text)
    if kind == "hotline":
        return "", rng.choice(_HOTLINE) + (text if len(text) >= 15 else title + text)
    return title, text
