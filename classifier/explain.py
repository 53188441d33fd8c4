"""Which words of a suggestion carried the decision: occlusion by clause.

Leave a clause out and see how far the probability of the chosen class falls
(Zeiler & Fergus 2014, arXiv:1311.2901, for pictures; Li et al. 2016,
arXiv:1612.08220, for text). What is left out is what the model is asked about,
so the answer is about this model and no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

_MOST_CLAUSES = 8
_SHORT, _WINDOW = 6, 10  # characters: clauses joined below, pieces of a text without any stop
_MOST_SHOWN, _SHARE_OF_FIRST = 2, 0.5
_STOP = re.compile(r"[^，,。！!？?；;：:、…\n]*[，,。！!？?；;：:、…\n]*")


def evidence(
    texts: Sequence[str],
    chosen: Sequence[int],
    probabilities: Callable[[list[str]], np.ndarray],
) -> list[tuple[str, ...]]:
    """The one or two clauses of each text without which its class is least likely.

    Args:
        texts: the suggestions; "" gets no evidence.
        chosen: class index of each.
        probabilities: texts → probabilities of shape (n, n_classes).
    """
    spans = [clauses(t) for t in texts]
    variants, owners = [], []
    for i, (text, found) in enumerate(zip(texts, spans, strict=True)):
        if len(found) > 1:
            for start, end in found:
                variants.append(text[:start] + text[end:])
                owners.append(i)
    left = probabilities(variants) if variants else np.zeros((0, 1))
    scores: list[list[float]] = [[] for _ in texts]
    for row, i in zip(left, owners, strict=True):
        scores[i].append(-float(np.log(row[chosen[i]] + 1e-9)))
    return [
        _strongest(text, found, score)
        for text, found, score in zip(texts, spans, scores, strict=True)
    ]


def _strongest(text: str, spans: list[tuple[int, int]], scores: list[float]) -> tuple[str, ...]:
    if len(spans) < 2:
        return tuple(_shown(text, span) for span in spans)
    fall = np.array(scores) - min(scores)
    order = np.argsort(-fall, kind="stable")[:_MOST_SHOWN]
    kept = [i for i in order if fall[i] >= _SHARE_OF_FIRST * fall[order[0]]]
    return tuple(_shown(text, spans[i]) for i in kept)


def _shown(text: str, span: tuple[int, int]) -> str:
    return text[span[0] : span[1]].strip("，,。！!？?；;：:、…\n 　")


def clauses(text: str) -> list[tuple[int, int]]:
    """(start, end) of at most eight clauses that together cover the text.

    Very short ones join the one before; a text without stops is cut in
    pieces of about ten characters.
    """
    spans: list[tuple[int, int]] = []
    for match in _STOP.finditer(text):
        start, end = match.span()
        if not match.group().strip():
            continue
        if spans and end - start < _SHORT:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    if len(spans) == 1 and len(text) > 2 * _WINDOW:
        spans = [(i, min(i + _WINDOW, len(text))) for i in range(0, len(text), _WINDOW)]
    while len(spans) > _MOST_CLAUSES:  # join the shortest neighbours
        at = min(range(len(spans) - 1), key=lambda i: spans[i + 1][1] - spans[i][0])
        spans[at : at + 2] = [(spans[at][0], spans[at + 1][1])]
    return spans
