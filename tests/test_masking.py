"""What the name of a column says of its cells, and what they may be in spite of it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from classifier import SuggestionClassifier
from classifier.masking import mask_value
from classifier.tagging import tag_file


@pytest.mark.parametrize(
    ("column", "value", "masked"),
    [
        ("身份证号", 110105194912310021, "〔身份证〕"),  # the check digit is wrong
        ("身份证号", 1.1010519491231002e17, "〔身份证〕"),
        ("身份证", "110105491231002", "〔身份证〕"),
        ("证件号码（必填）", "11010519491231002x", "〔身份证〕"),
        ("证件号码", "110105 1949 1231 0021", "〔身份证〕"),
        ("证件号", "H12345678", "〔护照〕"),
        ("银行卡", "6222020200112233441", "〔账号〕"),
        ("卡号", "6222 0202 0011 2233", "〔账号〕"),
        ("收款账号", 6222020200112233, "〔账号〕"),
        ("车牌号", "T12345", "〔车牌〕"),
        ("车牌", "td12345、冀T12345", "〔车牌〕、〔车牌〕"),
        ("车牌", "T·12345", "〔车牌〕"),
        ("联系电话", 57187654321, "〔电话〕"),
        ("联系电话", "1062345678", "〔电话〕"),
        ("电话（备用）", "5718765432，13812345678", "〔电话〕，〔手机号〕"),
        ("手机", Decimal(13812345678), "〔手机号〕"),
        ("金额（元）", "付给张三，13812345678", "付给张三，〔手机号〕"),
        ("退款", "6222020200112233446", "〔账号〕"),
    ],
)
def test_found_by_the_name_of_the_column(column: str, value: Any, masked: str) -> None:
    assert mask_value(value, [], column) == masked
    assert mask_value({column: [value]}, []) == {column: [masked]}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("金额（元）", 13800000000),
        ("投资额", 13800000000.0),
        ("投资额（万元）", "13,800,000,000.00"),
        ("工程款", "13800000000"),
        ("缴费", 13800000000),
        ("补贴", Decimal(13800000000)),
        ("电话费", 62345678),
        ("手机补贴（元）", 62345678),
        ("电话登记日期", 20240101),
        ("电话", 12345),
        ("联系电话", "110、120、12345、4008208820、8008208820"),
        ("身份证有效期", 20240101),
        ("车牌颜色", "YELLOW"),
        ("账号", 12345),
        ("编号", 57187654321),
        ("编号", "110105194912310021"),
        ("编号", "T12345"),
    ],
)
def test_left_alone_by_the_name_of_the_column(column: str, value: Any) -> None:
    assert mask_value(value, [], column) == value


def test_only_the_masked_part_of_a_nested_value_is_left_empty(
    tmp_path: Path, clf: SuggestionClassifier
) -> None:
    import pyarrow
    from pyarrow import parquet

    whole = pyarrow.field("手机", pyarrow.int64(), nullable=False)
    person = pyarrow.struct([("名", pyarrow.string()), whole])
    numbers = pyarrow.list_(pyarrow.field("item", pyarrow.int64(), nullable=False))
    fields = [
        ("内容", pyarrow.string()), ("人", person), ("各人", pyarrow.list_(person)),
        ("号", numbers), ("表", pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    ]  # fmt: skip
    one = {"名": "甲", "手机": 13812345678}
    row = {
        "内容": "路灯不亮", "人": one, "各人": [one, {"名": "乙", "手机": 7}],
        "号": [7, 13812345678], "表": [("a", 13812345678), ("b", 7)],
    }  # fmt: skip
    parquet.write_table(
        pyarrow.Table.from_pylist([row], pyarrow.schema(fields)), tmp_path / "a.parquet"
    )
    tag_file(tmp_path / "a.parquet", clf, masked=[])
    (found,) = parquet.read_table(tmp_path / "a-打标.parquet").to_pylist()
    empty = {"名": "甲", "手机": None}
    assert {name: found[name] for name in row} == {
        "内容": "路灯不亮", "人": empty, "各人": [empty, {"名": "乙", "手机": 7}],
        "号": [7, None], "表": [("a", None), ("b", 7)],
    }  # fmt: skip


def test_a_number_too_large_for_a_float(tmp_path: Path, clf: SuggestionClassifier) -> None:
    row = {"内容": "路灯不亮", "数": 10**400}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    tag_file(tmp_path / "a.jsonl", clf, output=tmp_path / "b.jsonl", masked=[])
    assert json.loads((tmp_path / "b.jsonl").read_text("utf-8"))["数"] == 10**400
