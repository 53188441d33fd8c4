"""The corridor with the shipped model."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import classifier
from classifier import InputError, SuggestionClassifier
from classifier.decision import UNSURE, trust
from tests.conftest import ROOT

TEXTS = [
    "小区门口的红绿灯坏了好几天，早晚高峰全靠自己钻空子",
    "老年卡在哪儿办，要带啥材料",
    "厂里压了我们三个月工资没发",
    "小区的健身器材坏了，单杠都松了",
    "夜里十二点工地还在打桩，孩子吓得直哭",
    "图书馆周一能不能也开门",
    "电梯关了我妈下不了楼，物业说没钱修",
    "楼下垃圾桶三天没人收，招苍蝇",
]


def test_exported_names_exist() -> None:
    assert classifier.__all__ == sorted(classifier.__all__)
    assert all(hasattr(classifier, name) for name in classifier.__all__)


def test_import_brings_neither_torch_nor_transformers() -> None:
    code = "import classifier, sys; print({'torch', 'transformers', 'training'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_plain_suggestions_get_their_class(clf: SuggestionClassifier) -> None:
    found = [p.primary for p in clf.predict(TEXTS)]
    assert found == ["微交通", "微养老", "微保障", "微体育", "微生态", "微文化", "微居住", "微城管"]


def test_prediction_holds_what_it_promises(clf: SuggestionClassifier) -> None:
    p = clf.predict([TEXTS[0]])[0]
    assert p.primary_id == "transport"
    assert p.office == clf.taxonomy.find("transport").office
    assert p.model == clf.model_id
    assert len(p.alternatives) == 2
    assert p.probability >= p.alternatives[0].probability >= p.alternatives[1].probability
    assert p.lane in ("auto", "review")
    assert (p.lane == "review") == bool(p.reason)
    assert p.to_dict()["primary"] == "微交通"


def test_probabilities(clf: SuggestionClassifier) -> None:
    p = clf.predict_proba(TEXTS)
    assert p.shape == (len(TEXTS), len(clf.taxonomy))
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)


def test_nothing_in_nothing_out(clf: SuggestionClassifier) -> None:
    assert clf.predict([]) == []
    assert clf.predict_proba([]).shape == (0, len(clf.taxonomy))


def test_alone_and_in_company_the_same(clf: SuggestionClassifier) -> None:
    together = clf.predict_proba(TEXTS * 5 + ["很长的话" * 80])
    backwards = clf.predict_proba(TEXTS[::-1])[::-1]
    for i, text in enumerate(TEXTS):
        alone = clf.predict_proba([text])[0]
        np.testing.assert_array_equal(alone, together[i])
        np.testing.assert_array_equal(alone, backwards[i])


def test_many_batches_and_one_text_the_same(clf: SuggestionClassifier) -> None:
    texts = [TEXTS[0][:1] * n + TEXTS[0] for n in range(0, 160, 4)]  # ten lengths or more
    together = clf.predict_proba(texts)
    for i in (0, 7, 20, 39):
        np.testing.assert_array_equal(clf.predict_proba([texts[i]])[0], together[i])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "没有内容"),
        ("", "没有内容"),
        (" \n\t　", "没有内容"),
        (float("nan"), "没有内容"),
        (42, "不是文字"),
        (b"bytes", "不是文字"),
        ("\ud800\x00", "没有内容"),
        ("。。。！！！", "看不懂"),
        ("😀😀😀", "没有内容"),
        ("asdf qwer 12345", "看不懂"),
        ("Please fix the traffic light at the gate", "看不懂"),
        ("信号機が壊れていますので修理をお願いします", "看不懂"),
        ("가로등이 고장났습니다 고쳐 주세요", "看不懂"),
        ("啊啊啊啊啊啊啊啊", "看不懂"),
    ],
)
def test_what_cannot_be_read_goes_to_a_person(
    clf: SuggestionClassifier, value: object, reason: str
) -> None:
    before, p, after = clf.predict([TEXTS[0], value, TEXTS[1]])
    assert (before.primary, after.primary) == ("微交通", "微养老")
    assert p.lane == "review"
    assert reason in p.reason
    assert p.primary_id == clf.taxonomy.abstain
    np.testing.assert_allclose(clf.predict_proba([value])[0], 1 / len(clf.taxonomy), rtol=1e-5)


def test_long_text_is_scored_on_its_beginning_and_says_so(clf: SuggestionClassifier) -> None:
    long = clf.predict([TEXTS[0] + "。" + "谢谢你们辛苦了！" * 3000])[0]
    assert long.cut
    assert not clf.predict([TEXTS[0]])[0].cut


def test_one_string_is_refused(clf: SuggestionClassifier) -> None:
    with pytest.raises(InputError, match="列表"):
        clf.predict("路灯不亮")


def test_any_iterable_is_welcome(clf: SuggestionClassifier) -> None:
    assert clf.predict(t for t in TEXTS) == clf.predict(tuple(TEXTS))


def test_promise_moves_the_threshold(clf: SuggestionClassifier) -> None:
    strict = SuggestionClassifier.from_pretrained(max_error=0.01)
    loose = SuggestionClassifier.from_pretrained(max_error=0.10)
    assert strict.threshold >= clf.threshold >= loose.threshold
    with pytest.raises(InputError, match="0 和 1"):
        SuggestionClassifier.from_pretrained(max_error=2)


def test_trust_falls_where_only_the_wording_speaks() -> None:
    both = np.array([[0.9, 0.1], [0.9, 0.1]])
    encoder = np.array([[0.9, 0.1], [0.2, 0.8]])
    agreed, alone = trust(both, encoder, 0.3)
    assert agreed == pytest.approx(0.9)
    assert alone == pytest.approx(0.9**0.7 * 0.2**0.3)
    np.testing.assert_allclose(trust(both, encoder, 0.0), 0.9)


def test_the_lane_follows_trust_and_not_probability(clf: SuggestionClassifier) -> None:
    found = clf.run([*TEXTS, "小区门口的红绿灯坏了", "啊啊啊啊啊啊", "电影院退票不给退钱"])
    sure = clf.trust(found) >= clf.threshold
    for p, is_sure in zip(clf.decide(found), sure, strict=True):
        assert (p.lane == "auto") == (is_sure and p.reason in ("", UNSURE))


ANY = st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=40), st.sampled_from(TEXTS))


@settings(max_examples=40, deadline=None)
@given(st.lists(ANY, max_size=8))
def test_same_length_same_order(clf: SuggestionClassifier, values: list[object]) -> None:
    together = clf.predict(values)
    assert len(together) == len(values)
    for value, p in zip(values, together, strict=True):
        alone = clf.predict([value])[0]
        assert (alone.primary, alone.reason, alone.cut) == (p.primary, p.reason, p.cut)
        assert alone.probability == p.probability


def test_letting_a_model_go_does_not_wait_for_itself() -> None:
    """With callbacks into Python, threads of the engine and the one that lets go held each other.

    A thread that keeps the interpreter's lock for long makes sure that they would.
    """
    code = (
        "import sys; sys.setswitchinterval(1000)\n"
        "from classifier.bundle import Bundle, shipped_model\n"
        "from classifier.encoder import OnnxEncoder\n"
        "pad = Bundle.open(shipped_model()).pad_id\n"
        "encoder = OnnxEncoder(shipped_model() / 'model.onnx', pad, threads=2)\n"
        "encoder.encode([[5] * 60] * 300)\n"
        "del encoder\n"
        "print('gone')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.stdout.strip() == "gone", done.stderr
