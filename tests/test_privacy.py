"""Personal data is found, and what only looks like it is left alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import InputError
from classifier.privacy import ALWAYS, OPTIONAL, find, mask

# Invented, with a valid check digit.
ID_CARD = "11010519491231002X"


def luhn(body: str) -> str:
    for last in "0123456789":
        number = [int(d) for d in reversed(body + last)]
        if sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(number)) % 10 == 0:
            return body + last
    raise AssertionError


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("电话13812345678，谢谢", "电话〔手机号〕，谢谢"),
        ("电话138 1234 5678", "电话〔手机号〕"),
        ("+86-13812345678找我", "〔手机号〕找我"),
        ("１３８１２３４５６７８", "〔手机号〕"),
        ("座机0318-2345678转12", "座机〔电话〕"),
        ("打010-62345678", "打〔电话〕"),
        ("家里电话：2345678", "家里电话：〔电话〕"),
        (f"身份证{ID_CARD}", "身份证〔身份证〕"),
        (f"身份证{ID_CARD.lower()}。", "身份证〔身份证〕。"),
        (f"卡号{luhn('622202020011223344')}", "卡号〔账号〕"),
        (f"卡号{luhn('622588121251757')}", "卡号〔账号〕"),
        ("冀T12345占了消防通道", "〔车牌〕占了消防通道"),
        ("京A·D1234车", "〔车牌〕车"),
        ("新能源车冀TD12345", "新能源车〔车牌〕"),
        ("粤B12345D乱停", "〔车牌〕乱停"),
        ("护照E12345678到期", "护照〔护照〕到期"),
        ("护照号EA1234567", "护照号〔护照〕"),
        ("发到zhang.san@example.com.cn吧", "发到〔邮箱〕吧"),
    ],
)
def test_found(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "打12345没人接，110、120、119、12315、96110都打了",
        "欠了13800000元，赔偿138123456.78元",
        "合同编号201712345678901234，工单20231005123456",
        "身份证110105194912310021",  # the check digit is wrong
        "卡号6222020200112233441",
        "2023年10月5日 08:30，地铁2号线，3路公交",
        "400-820-8820 是客服",
        "第12345678号文件",
        "我叫你们来看看，本人很生气",
        "3号楼后面的垃圾，2单元门口",
        "鲁能广场，京东快递，豫园",
        "",
    ],
)
def test_left_alone(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("我叫王小明，住3号楼2单元501室", "我叫〔姓名〕，住〔住址〕"),
        ("联系人：欧阳娜，12栋1203", "联系人：〔姓名〕，〔住址〕"),
        ("李女士反映5-2-301漏水", "〔姓名〕女士反映〔住址〕漏水"),
        ("我叫你们快点来", "我叫你们快点来"),
        ("8号楼301室和3号楼都停水", "〔住址〕和3号楼都停水"),
        ("12弄5号602室", "〔住址〕"),
    ],
)
def test_names_and_addresses_on_request(text: str, masked: str) -> None:
    assert mask(text, OPTIONAL) == masked
    assert mask(text) == text


def test_unknown_kind() -> None:
    with pytest.raises(InputError, match="names、addresses"):
        mask("x", ["phones"])


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    found = find(text, OPTIONAL)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert {f.kind for f in found} <= {*ALWAYS, *OPTIONAL}
    assert mask(mask(text)) == mask(text)
