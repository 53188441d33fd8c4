"""Which words of a suggestion carried the decision: what its clauses add to the wording's margin.

The n-grams beside the encoder are a linear model, so what a clause says for the
chosen class can be read off without asking the encoder again. Measured against
leaving clauses out one by one (occlusion), which reads every text up to eight
times: ``training/LOG.md``.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Sequence

import numpy as np

_MOST_CLAUSES = 8
_SHORT, _WINDOW = 6, 10  # characters: clauses joined below, pieces of a text without any stop
_MOST_SHOWN, _SHARE_OF_FIRST = 2, 0.5
# Never within a number, half of which nobody could recognise as one.
_PIECE = re.compile(rf".{{1,{_WINDOW}}}(?:(?<=[0-9A-Za-z０-９])[0-9A-Za-z０-９]+)?", re.DOTALL)
_STOP = re.compile(r"[^，,。！!？?；;：:、…\n]*[，,。！!？?；;：:、…\n]*")


def evidence(
    texts: Sequence[str],
    chosen: Sequence[int],
    margins: Callable[[list[str]], np.ndarray],
) -> list[tuple[str, ...]]:
    """The one or two clauses of each text that speak most for its class, the strongest first.

    Args:
        texts: the suggestions; "" gets no evidence.
        chosen: class index of each.
        margins: texts → margins of shape (n, n_classes); where they are all the
            same, as without n-grams, there is no evidence.
    """
    spans = [clauses(t) for t in texts]
    pieces = [text[a:b] for text, found in zip(texts, spans, strict=True) for a, b in found]
    said = margins(pieces) if pieces else np.zeros((0, 1))
    found, at = [], 0
    for text, span, best in zip(texts, spans, chosen, strict=True):
        rows = said[at : at + len(span)]
        at += len(span)
        found.append(_strongest(text, span, rows[:, best] - rows.mean(1)))
    return found


def _strongest(text: str, spans: list[tuple[int, int]], scores: np.ndarray) -> tuple[str, ...]:
    order = np.argsort(-scores, kind="stable")[:_MOST_SHOWN]
    kept = [i for i in order if scores[i] > 0 and scores[i] >= _SHARE_OF_FIRST * scores[order[0]]]
    return tuple(_shown(text, spans[i]) for i in kept or order[:1] if scores.any())


def _shown(text: str, span: tuple[int, int]) -> str:
    shown = text[span[0] : span[1]].strip("，,。！!？?；;：:、…\n 　")
    return shown.encode("utf-8", "ignore").decode()  # half a character can be shown nowhere


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
        spans = [match.span() for match in _PIECE.finditer(text)]
    return _joined(spans, _MOST_CLAUSES)


def _joined(spans: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The shortest neighbours joined until there are at most `most` spans.

    With a heap, since a cell may hold a book: looking at all of them for every
    one that is joined would take minutes.
    """
    ends = [end for _, end in spans]
    before = list(range(-1, len(spans) - 1))
    after = list(range(1, len(spans) + 1))

    def pair(i: int) -> tuple[int, int]:
        return ends[after[i]] - spans[i][0], i

    pairs = [pair(i) for i in range(len(spans) - 1)]
    heapq.heapify(pairs)
    left, gone = len(spans), set()
    while left > most:
        length, i = heapq.heappop(pairs)
        if i in gone or after[i] == len(spans) or pair(i)[0] != length:
            continue  # one of the two has been joined to another since
        second = after[i]
        gone.add(second)
        ends[i], after[i] = ends[second], after[second]
        left -= 1
        if after[i] < len(spans):
            before[after[i]] = i
            heapq.heappush(pairs, pair(i))
        if before[i] >= 0:
            heapq.heappush(pairs, pair(before[i]))
    return [(spans[i][0], ends[i]) for i in range(len(spans)) if i not in gone]
