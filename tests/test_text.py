"""Text formatting that training and tagging share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.text import join_fields, normalise, pad


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("ＡＢＣ，１２３！", "ABC,123!"),
        ("路灯\u200b不\x00亮\ufeff", "路灯不亮"),
        ("坏了\ud83d三天", "坏了三天"),
        ("在吗！！！！！？？？", "在吗!!??"),
        ("紅綠燈壞了，沒人修理", "红绿灯坏了,没人修理"),
        ("路灯不亮😡😡，急🙏", "路灯不亮,急"),
        ("两行\r\n  字\t中", "两行 字 中"),
        ("打 0318-2345678 没人接", "打 〔号〕 没人接"),
        ("打〔手机号〕没人接", "打〔号〕没人接"),
        ("写信到 a.b@qq.com 不回", "写信到 〔号〕 不回"),
        ("拨 12345 和 120 都不通", "拨 12345 和 120 都不通"),
        ("2023-10-05 欠我 350000 元", "2023-10-05 欠我 350000 元"),
    ],
)
def test_normalise(raw: str, wanted: str) -> None:
    assert normalise(raw) == wanted


@given(st.text(max_size=80))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


def test_masking_a_phone_changes_nothing_for_the_model() -> None:
    assert normalise("打13900001234没人接") == normalise("打〔手机号〕没人接")


@pytest.mark.parametrize(
    ("title", "body", "wanted"),
    [
        ("路灯不亮", "巷子里黑", "路灯不亮。巷子里黑"),
        ("路灯不亮！", "巷子里黑", "路灯不亮！巷子里黑"),
        ("路灯不亮", "路灯不亮，巷子里黑", "路灯不亮，巷子里黑"),
        ("", "巷子里黑", "巷子里黑"),
        ("路灯不亮", " ", "路灯不亮"),
    ],
)
def test_join_fields(title: str, body: str, wanted: str) -> None:
    assert join_fields(title, body) == wanted


def test_pad() -> None:
    ids, mask = pad([[5, 6, 7], [8]], pad_id=1, length=4)
    assert ids.tolist() == [[5, 6, 7, 1], [8, 1, 1, 1]]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
