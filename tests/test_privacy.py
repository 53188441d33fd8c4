"""Personal data is found, and what only looks like it is left alone."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import InputError
from classifier.privacy import ALWAYS, OPTIONAL, Found, find, mask, mask_passages

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
        ("138 123 45678，1381 234 5678", "〔手机号〕，〔手机号〕"),
        ("打138.1234.5678或13812 345678", "打〔手机号〕或〔手机号〕"),
        ("电话：62345678、62345679", "电话：〔电话〕"),
        ("１３８１２３４５６７８", "〔手机号〕"),
        ("座机0318-2345678转12", "座机〔电话〕"),
        ("打010-62345678", "打〔电话〕"),
        ("家里电话：2345678", "家里电话：〔电话〕"),
        ("固话2345678", "固话〔电话〕"),
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
        ("打（0571）87654321", "打〔电话〕"),
        ("打0571—87654321", "打〔电话〕"),
        ("打0571——87654321", "打〔电话〕"),
        ("打010–62345678", "打〔电话〕"),
        ("打021-6234-5678", "打〔电话〕"),
        ("打+86-571-87654321", "打〔电话〕"),
        ("138—1234—5678", "〔手机号〕"),
        ("138　1234　5678", "〔手机号〕"),
        ("电话.13812345678", "电话.〔手机号〕"),
        ("1.13812345678", "1.〔手机号〕"),
        ("13812345678.13912345678", "〔手机号〕.〔手机号〕"),
        ("13812345678-0571-87654321", "〔手机号〕-〔电话〕"),
        ("138\u200b1234\u20605678", "〔手机号〕"),
        ("138\ud80012345678", "〔手机号〕"),
        ("13812345678元旦打", "〔手机号〕元旦打"),
        ("粤Ｂ１２３４５", "〔车牌〕"),
        ("粤b12345", "〔车牌〕"),
        ("粤 B12345", "〔车牌〕"),
        (f"身份证ID{ID_CARD}", "身份证ID〔身份证〕"),
        ("身份证110105 19491231 002X", "身份证〔身份证〕"),
        ("卡号622202 0200112233446", "卡号〔账号〕"),
        ("护照PE1234567", "护照〔护照〕"),
        ("护照号e12345678", "护照号〔护照〕"),
        ("通行证号码：h12345678", "通行证号码：〔护照〕"),
        ("打013812345678", "打〔手机号〕"),
        ("打0138-1234-5678", "打〔手机号〕"),
        ("身份证110105 1949 1231 002X", "身份证〔身份证〕"),
        ("花了人民币300元，打13812345678", "花了人民币300元，打〔手机号〕"),
        ("身份证1101 0519 4912 3100 2X", "身份证〔身份证〕"),
        ("身份证110 105 19491231 002X", "身份证〔身份证〕"),
        (f"身份证3 {ID_CARD}", "身份证3 〔身份证〕"),
        ("沪A1234领", "〔车牌〕"),
        ("使014578", "〔车牌〕"),
        ("京O12345警", "〔车牌〕"),
        ("WJ京12345", "〔车牌〕"),
        ("军A12345", "〔车牌〕"),
        ("电话13812345678、0571-87654321、87654321", "电话〔手机号〕、〔电话〕、〔电话〕"),
        ("电话13812345678（张三），87654321（家）", "电话〔手机号〕（张三），〔电话〕（家）"),
        ("电话13812345678，20240305报修", "电话〔手机号〕，20240305报修"),
        ("联系电话：（87654321）", "联系电话：（〔电话〕）"),
        ("电话（座机）87654321", "电话（座机）〔电话〕"),
        ("打021-2023-2024", "打〔电话〕"),
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
        "坐标1381.2345678，长13812.345678米，1-2-3号，电话：12345、12315",
        "我叫你们来看看，本人很生气",
        "3号楼后面的垃圾，2单元门口",
        "鲁能广场，京东快递，豫园",
        "工单编号G20240305，编号E20240305",
        "电话 2023-2024学年",
        "电话400-820-8820，电话400-8208-820",
        "使123456人受益，使200000元资金",
        "总投资13800000000元，合13912345678万元，共13812345678余元，¥13800000000",
        "电话30000000元，电话费13800000000.5元，赔偿13812345678.00",
        "工单编号0012345678",
        "编号2024-0301-2345678",
        "经度116.13812345678",
        "最新mate60",
        "总投资人民币13800000000，RMB13800000000，人民币：13800000000，rmb 13800000000",
        "CNY13800000000，¥ 13800000000，共013800000000元",
        "身份证110105 1949 1231 0021",  # the check digit is wrong
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
        ("联系人：王小明2号楼3单元402", "联系人：〔姓名〕〔住址〕"),
        ("我叫你们快点来", "我叫你们快点来"),
        ("8号楼301室和3号楼都停水", "〔住址〕和3号楼都停水"),
        ("12弄5号602室", "〔住址〕"),
    ],
)
def test_names_and_addresses_on_request(text: str, masked: str) -> None:
    assert mask(text, OPTIONAL) == masked
    assert mask(text) == text


def test_a_name_right_before_a_number() -> None:
    assert mask("联系人：王小明13812345678", OPTIONAL) == "联系人：〔姓名〕〔手机号〕"


def test_places_are_those_of_the_original_text() -> None:
    assert find("😀打138\u200b12345678") == [Found("mobile", 2, 14)]


@pytest.mark.parametrize(
    ("passage", "whole", "masked"),
    [
        ("62345678请路灯所", "我家电话：62345678请路灯所来", "〔电话〕请路灯所"),
        ("路灯坏了请打1381", "路灯坏了请打13812345678找我", "路灯坏了请打〔手机号〕"),
        ("345678找我", "打13812345678找我", "〔手机号〕找我"),
        ("13800000000", "总投资13800000000元", "13800000000"),
        ("打138", "打138路，打13812345678", "打〔手机号〕"),  # either may be meant
        ("打13812345678", "\ud800打138\ud80012345678", "打〔手机号〕"),
        ("", "打13812345678", ""),
    ],
)
def test_passages_read_as_in_the_masked_whole(passage: str, whole: str, masked: str) -> None:
    assert mask_passages([passage], whole) == [masked]


def test_a_passage_that_stands_there_again_and_again() -> None:
    whole = "打13812345678，" * 10_000
    begun = time.process_time()
    [masked] = mask_passages([whole[5:50_000]], whole)
    assert time.process_time() - begun < 10
    assert not any(c.isdigit() for c in masked)
    # Where it stands last, it holds half a number.
    whole = "打138路，" * 50_000 + "打13812345678"
    assert mask_passages(["打138", "打138路"], whole) == ["打〔手机号〕", "打138路"]


def test_unknown_kind() -> None:
    with pytest.raises(InputError, match="names、addresses"):
        mask("x", ["phones"])


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    found = find(text, OPTIONAL)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert {f.kind for f in found} <= {*ALWAYS, *OPTIONAL}
    assert mask(mask(text)) == mask(text)
