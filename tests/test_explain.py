"""Evidence: passages of the text itself, and the ones the decision hangs on."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import numpy as np
import pytest

from classifier import SuggestionClassifier
from classifier.explain import _joined, clauses, evidence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "路灯坏了",
        "路灯坏了，很黑。",
        "我家住在三楼，楼下新开了一家烧烤店，油烟天天往屋里灌，孩子咳了一个月，请环保部门管管",
        "今天去办事排了两个小时队也没有人叫号我就想问问能不能多开几个窗口啊老人站不住的呀",
        "一，二，三，四，五，六，七，八，九，十，十一，十二，" * 5,
        "。。。！！",
    ],
)
def test_clauses_are_in_order_and_few(text: str) -> None:
    spans = clauses(text)
    assert len(spans) <= 8
    assert all(a < b for a, b in spans)
    assert all(x[1] <= y[0] for x, y in pairwise(spans))
    assert set(text) - set("".join(text[a:b] for a, b in spans)) <= set("，。！")


def test_pieces_of_a_text_without_stops_keep_numbers_whole() -> None:
    text = "路灯坏了请打13812345678找我快来修路灯谢谢领导啊"
    assert "路灯坏了请打13812345678" in [text[a:b] for a, b in clauses(text)]


def test_the_clause_that_counts_is_found() -> None:
    def margins(texts: list[str]) -> np.ndarray:
        return np.array([[1.0, -1.0] if "医保" in t else [-1.0, 0.5] for t in texts])

    text = "我妈前天在县医院做了手术，回来医保怎么都报不了，窗口的人很客气"
    assert evidence([text, ""], [0, 1], margins) == [("回来医保怎么都报不了",), ()]


def test_of_the_shipped_model(clf: SuggestionClassifier) -> None:
    texts = ["我每天接送孩子上学，三路公交车等了四十分钟不来，希望加密班次", "老年卡在哪儿办", ""]
    found = clf.predict(texts)
    assert any("公交车" in e for e in found[0].evidence)
    assert found[1].evidence == ("老年卡在哪儿办",)
    assert found[2].evidence == ()
    assert all(e in t for p, t in zip(found, texts, strict=True) for e in p.evidence)


def test_without_an_opinion_no_evidence() -> None:
    assert evidence(["路灯坏了，很黑，走路摔了一跤"], [0], lambda t: np.zeros((len(t), 2))) == [()]


def joined_one_by_one(spans: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """What the heap must give, said as plainly as can be."""
    spans = list(spans)
    while len(spans) > most:
        at = min(range(len(spans) - 1), key=lambda i: spans[i + 1][1] - spans[i][0])
        spans[at : at + 2] = [(spans[at][0], spans[at + 1][1])]
    return spans


def test_neighbours_are_joined_in_the_same_order_as_one_by_one() -> None:
    chance = random.Random(1)
    for _ in range(300):
        places = sorted(chance.sample(range(300), 2 * chance.randint(0, 60)))
        spans = list(zip(places[::2], places[1::2], strict=True))
        assert _joined(spans, 8) == joined_one_by_one(spans, 8)


def test_a_cell_as_long_as_a_book_takes_seconds() -> None:
    begun = time.process_time()
    assert len(clauses("路灯坏了没有人修，" * 100_000)) == 8
    assert len(clauses("路灯坏了没有人修" * 100_000)) == 8
    assert time.process_time() - begun < 20
