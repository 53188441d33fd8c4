"""Slips of the keyboard: homophones, doubled, dropped and swapped characters."""

from __future__ import annotations

import random
from functools import cache

from pypinyin import lazy_pinyin

# Rows of GB 2312 level 1: the 3,755 characters in everyday use.
_EVERYDAY = range(0xB0, 0xD8)


@cache
def homophones() -> dict[str, list[str]]:
    """Everyday character → other everyday characters read alike, tones apart."""
    characters = [
        bytes((row, cell)).decode("gb2312", errors="ignore")
        for row in _EVERYDAY
        for cell in range(0xA1, 0xFF)
    ]
    alike: dict[str, list[str]] = {}
    for character in filter(None, characters):
        alike.setdefault(lazy_pinyin(character)[0], []).append(character)
    return {c: [o for o in group if o != c] for group in alike.values() for c in group}


def misspell(text: str, share: float, rng: random.Random) -> str:
    """`text` with about `share` of its Chinese characters mistyped.

    Seven in ten become a homophone, the rest are dropped, doubled or swapped
    with the next one.
    """
    table = homophones()
    out: list[str] = []
    characters = list(text)
    i = 0
    while i < len(characters):
        c = characters[i]
        others = table.get(c)
        if others is None or rng.random() >= share:
            out.append(c)
            i += 1
            continue
        kind = rng.random()
        if kind < 0.7 and others:
            out.append(rng.choice(others))
        elif kind < 0.8:
            pass
        elif kind < 0.9 or i + 1 == len(characters):
            out += [c, c]
        else:
            out += [characters[i + 1], c]
            i += 1
        i += 1
    return "".join(out)
