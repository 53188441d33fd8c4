"""Does the label stay when the same suggestion is typed another way?"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import numpy as np
from opencc import OpenCC

from classifier import SuggestionClassifier
from training.typos import misspell

_TRADITIONAL = OpenCC("s2t")
_PUNCTUATION = re.compile(r"[，。！？、；：“”‘’（）…—,.!?;:\"'《》]+")
_EMOJI = ("😡", "🙏", "😭", "👍", "🚗", "🏫", "🏥", "🌳")
_MOST = 250  # messages of a set that are typed again

# Invented personal data, and the same message after masking.
_PERSONAL = (
    ("我叫王小明，电话13812345678。", "我叫王小明，电话〔手机号〕。"),
    ("联系方式0318-2345678", "联系方式〔电话〕"),
    ("身份证号131102198001011234，请保密。", "身份证号〔身份证〕，请保密。"),
    ("邮箱xiaoming@example.com", "邮箱〔邮箱〕"),
    ("卡号6222021234567890123。", "卡号〔账号〕。"),
)


def _typos(text: str, rng: random.Random) -> str:
    return misspell(text, 0.02, rng)


def _full_width(text: str, rng: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _traditional(text: str, rng: random.Random) -> str:
    return str(_TRADITIONAL.convert(text))


def _emoji(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_EMOJI) + text[at:] + rng.choice(_EMOJI)


def _bare(text: str, rng: random.Random) -> str:
    return _PUNCTUATION.sub("", text)


PERTURBATIONS: dict[str, Callable[[str, random.Random], str]] = {
    "2% 错别字": _typos,
    "全角": _full_width,
    "繁体": _traditional,
    "表情": _emoji,
    "无标点": _bare,
}


def flips(
    texts: Sequence[str], classifier: SuggestionClassifier, seed: int = 0
) -> dict[str, float]:
    """Share of texts whose label changes under each perturbation.

    ``隐去个人信息`` compares a text with invented personal data at its end
    with the same text masked.
    """
    rng = random.Random(seed)
    chosen = list(texts) if len(texts) <= _MOST else rng.sample(list(texts), _MOST)

    def labels(variants: list[str]) -> np.ndarray:
        return np.asarray(classifier.predict_proba(variants).argmax(1))

    before = labels(chosen)
    found = {
        name: float((labels([change(t, rng) for t in chosen]) != before).mean())
        for name, change in PERTURBATIONS.items()
    }
    endings = [rng.choice(_PERSONAL) for _ in chosen]
    plain = labels([t + e for t, (e, _) in zip(chosen, endings, strict=True)])
    masked = labels([t + m for t, (_, m) in zip(chosen, endings, strict=True)])
    found["隐去个人信息"] = float((plain != masked).mean())
    return found
