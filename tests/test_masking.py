"""What is masked in a table: by content, by the name of a column, and what stays."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from classifier import SuggestionClassifier
from classifier.cli import cli
from classifier.masking import mask_value
from classifier.tables import open_table
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
        ("联系电话", "张三87654321", "张三〔电话〕"),
        ("联系电话", "张三：87654321", "张三：〔电话〕"),
        ("联系电话", "（家）87654321", "（家）〔电话〕"),
        ("联系电话", "家87654321", "家〔电话〕"),
        ("联系电话", "8765 4321", "〔电话〕"),
        ("联系电话", "13812345678或87654321", "〔手机号〕或〔电话〕"),
        ("联系电话", "13812345678|87654321", "〔手机号〕|〔电话〕"),
        ("来电号码", 87654321, "〔电话〕"),
        ("主叫号码", "87654321", "〔电话〕"),
        ("Tel", "87654321", "〔电话〕"),
        ("phone", "87654321", "〔电话〕"),
        ("mobile", "87654321", "〔电话〕"),
        ("手机", "1381234567", "〔手机号〕"),  # one digit short
        ("公民身份号码", "110105194912310021", "〔身份证〕"),
        ("公民身份号码", "110105491231002", "〔身份证〕"),
        ("证件", "110105194912310021", "〔身份证〕"),
        ("idcard", "110105194912310021", "〔身份证〕"),
        ("身份证号", "1101051949123100X", "〔身份证〕"),  # one digit short
        ("账户", "6222020200112233441", "〔账号〕"),
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
        ("联系电话", "400-820-8820，800 820 8820、2023-2024"),
        ("联系电话", "87654321元，¥87654321"),
        ("hotel", 87654321),
        ("身份证有效期", 20240101),
        ("身份证有效期", "20200101-20400101"),
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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--mask", "a.csv"], "我叫王小明，电话〔手机号〕"),
        (["a.csv", "--mask"], "我叫王小明，电话〔手机号〕"),
        (["--mask", "names,addresses", "a.csv"], "我叫〔姓名〕，电话〔手机号〕"),
        (["a.csv", "--mask=names"], "我叫〔姓名〕，电话〔手机号〕"),
    ],
)
def test_mask_alone_or_with_kinds(tmp_path: Path, arguments: list[str], text: str) -> None:
    (tmp_path / "a.csv").write_text('内容\n"我叫王小明，电话13812345678"\n', encoding="utf-8")
    arguments = [str(tmp_path / a) if a == "a.csv" else a for a in arguments]
    cli.main(["tag", "-q", *arguments], standalone_mode=False)
    assert load_workbook(tmp_path / "a-打标.xlsx").worksheets[0]["A2"].value == text


def test_evidence_shows_no_part_of_a_number(tmp_path: Path, clf: SuggestionClassifier) -> None:
    source, output = tmp_path / "a.csv", tmp_path / "b.jsonl"
    texts = ["我家电话：62345678请路灯所修路灯", "路灯坏了请打138-1234-5678找我快来修路灯"]
    source.write_text("\n".join(["内容", *texts]) + "\n", encoding="utf-8")
    tag_file(source, clf, output=output, masked=())
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert rows[0]["依据"].startswith("〔电话〕请路灯所")
    assert rows[1]["依据"]
    assert not re.search(r"\d", rows[1]["依据"])


def test_masking_of_what_is_not_text(tmp_path: Path, clf: SuggestionClassifier) -> None:
    import pyarrow
    from pyarrow import parquet

    row = {
        "内容": "路灯不亮", "电话": "62345678、62345679", "手机": 13812345678, "编号": 62345678,
        "附": {"座机": 62345678, "列": ["13812345678", 13812345678.0, True]}, "金额": 1.5,
        "来信人": "欧阳锋", "来信人数": "三人",
    }  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    tag_file(tmp_path / "a.jsonl", clf, output=tmp_path / "b.jsonl", masked=["names"])
    found = json.loads((tmp_path / "b.jsonl").read_text("utf-8"))
    assert {name: found[name] for name in row} == {
        "内容": "路灯不亮", "电话": "〔电话〕、〔电话〕", "手机": "〔手机号〕", "编号": 62345678,
        "附": {"座机": "〔电话〕", "列": ["〔手机号〕", "〔手机号〕", True]}, "金额": 1.5,
        "来信人": "〔姓名〕", "来信人数": "三人",
    }  # fmt: skip
    tag_file(tmp_path / "a.jsonl", clf, output=tmp_path / "b.xlsx", masked=[])
    assert load_workbook(tmp_path / "b.xlsx").worksheets[0]["C2"].value == "〔手机号〕"
    table = pyarrow.table({"内容": ["路灯不亮"] * 2, "手机": [13812345678, 7]})
    parquet.write_table(table, tmp_path / "a.parquet")
    tag_file(tmp_path / "a.parquet", clf, output=tmp_path / "b.parquet", masked=[])
    assert parquet.read_table(tmp_path / "b.parquet")["手机"].to_pylist() == [None, 7]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".jsonl", ".parquet"])
def test_a_header_that_is_data_is_masked(
    tmp_path: Path, clf: SuggestionClassifier, suffix: str
) -> None:
    text = "张三,13812345678,13912345678,路灯不亮\n李四,,,路灯不亮\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    output = tmp_path / f"b{suffix}"
    tag_file(tmp_path / "a.csv", clf, output=output, masked=[], text="路灯不亮")
    header = open_table(output).header
    assert header[:4] == ["张三", "〔手机号〕", "〔手机号〕_2", "路灯不亮"]


def test_names_in_parquet_are_masked(tmp_path: Path, clf: SuggestionClassifier) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"内容": ["路灯不亮"], "13812345678": [7], "联系人方式": ["无"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    tag_file(tmp_path / "a.parquet", clf, output=tmp_path / "b.parquet", masked=["names"])
    found = parquet.read_table(tmp_path / "b.parquet")
    assert found.column_names[:3] == ["内容", "〔手机号〕", "联系人方式"]
    assert found["〔手机号〕"].to_pylist() == [7]


def test_keys_of_nested_values_are_masked() -> None:
    value = {"13812345678": 1, "13912345678": {"手机": 13812345678}, 7: None}
    masked = {"〔手机号〕": 1, "〔手机号〕_2": {"手机": "〔手机号〕"}, 7: None}
    assert mask_value(value, []) == masked


def test_rows_above_the_header_are_masked(tmp_path: Path, clf: SuggestionClassifier) -> None:
    text = "汇总人电话13812345678,\n编号,内容\n1,路灯不亮\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert open_table(tmp_path / "a.csv").above
    tag_file(tmp_path / "a.csv", clf, output=tmp_path / "b.csv", masked=[])
    assert "〔手机号〕" in (tmp_path / "b.csv").read_text("utf-8")
