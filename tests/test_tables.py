"""Real tables of every kind, good and bad, through the readers and writers."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import re
import warnings
import zipfile
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.styles.numbers import BUILTIN_FORMATS

from classifier import InputError
from classifier.tables import open_table, open_target, text_columns, write_whole
from classifier.tables.source import Cell
from classifier.tables.target import Summary, harmless

ROWS = [
    ["编号", "标题", "内容"],
    [1, "路灯", "巷子里的路灯不亮，晚上回家看不见"],
    [2, "垃圾", "垃圾没人收"],
]
SUMMARY = Summary([("微城管", "市城管局", 1, 1), ("其他", "人工", 0, 0)], ["承诺 2%"])


def values(path: Path) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in open_table(path).rows()]


@pytest.fixture
def xlsx(tmp_path: Path) -> Path:
    workbook = Workbook()
    for row in ROWS:
        workbook.active.append(row)
    workbook.create_sheet("说明").append(["不要读我"])
    workbook.save(tmp_path / "建议.xlsx")
    return tmp_path / "建议.xlsx"


def csv_bytes(encoding: str, delimiter: str = ",") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(ROWS)
    return out.getvalue().encode(encoding)


def test_xlsx(xlsx: Path) -> None:
    table = open_table(xlsx)
    assert (table.header, table.first_row, table.total, table.kind) == (ROWS[0], 2, 2, "xlsx")
    assert values(xlsx) == ROWS[1:]
    assert "说明" in table.note


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_csv_in_every_encoding(tmp_path: Path, encoding: str, delimiter: str) -> None:
    path = tmp_path / "建议.csv"
    path.write_bytes(csv_bytes(encoding, delimiter))
    table = open_table(path)
    assert (table.header, table.total) == (ROWS[0], 2)
    assert values(path)[0] == ["1", "路灯", "巷子里的路灯不亮，晚上回家看不见"]
    assert {"gbk": "GB18030", "utf-16": "UTF-16", "gb18030": "GB18030"}.get(
        encoding, "UTF-8"
    ) in table.note


def test_xls(tmp_path: Path) -> None:
    xlwt = pytest.importorskip("xlwt")
    workbook = xlwt.Workbook()
    sheet = workbook.add_sheet("来信")
    for r, row in enumerate(ROWS):
        for c, value in enumerate(row):
            sheet.write(r, c, value)
    workbook.save(str(tmp_path / "旧.xls"))
    assert values(tmp_path / "旧.xls") == ROWS[1:]


def test_jsonl_and_parquet(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{"编号": 1, "内容": "路灯不亮", "标签": ["a"]}, {"内容": "垃圾没人收", "附": True}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "a.jsonl").write_text(lines + "\n\n", encoding="utf-8")
    assert open_table(tmp_path / "a.jsonl").header == ["编号", "内容", "标签", "附"]
    assert values(tmp_path / "a.jsonl") == [
        [1, "路灯不亮", ["a"], None], [None, "垃圾没人收", None, True],
    ]  # fmt: skip
    table = pyarrow.table({"编号": [1, 2], "内容": ["路灯不亮", None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == [[1, "路灯不亮"], [2, None]]


def test_csv_that_is_an_xlsx(xlsx: Path) -> None:
    renamed = xlsx.with_suffix(".csv")
    xlsx.rename(renamed)
    assert values(renamed) == ROWS[1:]


def test_empty_rows_keep_their_place(tmp_path: Path) -> None:
    workbook = Workbook()
    for row in [[], ["内容"], ["路灯不亮"], [], ["垃圾没人收"]]:
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    table = open_table(tmp_path / "a.xlsx")
    assert (table.first_row, table.total) == (3, 3)
    assert values(tmp_path / "a.xlsx") == [["路灯不亮"], [None], ["垃圾没人收"]]


def test_rows_of_different_length(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("内容,\n路灯不亮,x,y\n\n垃圾\n", encoding="utf-8")
    table = open_table(tmp_path / "a.csv")
    assert table.header == ["内容", "列2", "列3"]
    assert values(tmp_path / "a.csv")[0] == ["路灯不亮", "x", "y"]
    assert len(values(tmp_path / "a.csv")) == table.total == 3


def test_hidden_sheets_and_odd_cells(tmp_path: Path) -> None:
    workbook = Workbook()
    workbook.active.append(["内容"])
    workbook.active.append(["藏起来的"])
    workbook.active.sheet_state = "hidden"
    sheet = workbook.create_sheet("来信")
    sheet.append(["内容", *(f"列{i}" for i in range(200))])
    sheet.append(["路灯不亮", date(2026, 1, 2), True, "=1+1"])
    sheet["B3"] = "同上"
    sheet.merge_cells("A2:A3")
    sheet.protection.enable()
    workbook.save(tmp_path / "a.xlsx")
    table = open_table(tmp_path / "a.xlsx")
    assert (table.sheet, len(table.header)) == ("来信", 201)
    first, second = values(tmp_path / "a.xlsx")
    assert first[:4] == ["路灯不亮", datetime(2026, 1, 2), True, "=1+1"]
    assert second[0] is None


@pytest.mark.parametrize("cell", ["路灯不亮", "=1+1"])
def test_workbooks_are_closed(tmp_path: Path, cell: str) -> None:
    workbook = Workbook()
    for text in ("内容", cell):
        workbook.active.append([text])
    workbook.save(tmp_path / "a.xlsx")
    gc.collect()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        assert values(tmp_path / "a.xlsx") == [[cell]]
        gc.collect()
    assert not found


def test_damaged_inside(xlsx: Path) -> None:
    with zipfile.ZipFile(xlsx) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"][:-80]
    with zipfile.ZipFile(xlsx, "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)
    with pytest.raises(InputError, match="已损坏"):
        open_table(xlsx)


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("a.xlsx", b"", "空文件"),
        ("a.csv", b"", "空文件"),
        ("a.csv", b"\r\n\r\n", "空的"),
        ("a.xlsx", b"not a zip at all", "已损坏"),
        ("a.xlsx", b"PK\x03\x04 broken zip", "已损坏"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "密码"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "另存为 .xlsx"),
        ("a.csv", b"\xff\x81\x00\xfe\xff", "编码"),
        ("a.docx", b"plain", "不认识"),
        ("a.jsonl", b'{"a": 1}\n{broken', "第 2 行"),
        ("a.jsonl", b"[1]", "JSON 对象"),
        ("a.jsonl", b"\n\n", "空文件"),
        ("a.parquet", b"PAR1 broken", "已损坏"),
        ("a.parquet", b"nothing", "已损坏"),
    ],
)
def test_bad_files_get_advice(tmp_path: Path, name: str, content: bytes, advice: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=advice):
        open_table(tmp_path / name)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="找不到文件"):
        open_table(tmp_path / "没有.xlsx")


def test_text_columns() -> None:
    assert text_columns(["编号", "标题", "内容"], None) == ["标题", "内容"]
    assert text_columns(["诉求内容"], None) == ["诉求内容"]
    for body in ("工单内容", "问题描述"):  # 意见 is what the office thinks
        assert text_columns(["编号", "意见", body], None) == [body]
    assert text_columns(["甲", "乙"], "乙") == ["乙"]
    assert text_columns(["甲", "乙"], "甲，乙") == ["甲", "乙"]
    assert text_columns(["编号", "标　题", "*内 容\n（必填）："], None) == [
        "标　题",
        "*内 容\n（必填）：",
    ]
    assert text_columns(["意见\n（建议，诉求）"], "意见（建议，诉求）") == ["意见\n（建议，诉求）"]
    with pytest.raises(InputError, match=r"没有“丙”.*甲、乙"):
        text_columns(["甲", "乙"], "丙")
    with pytest.raises(InputError, match="--text"):
        text_columns(["甲", "乙"], None)


def tagged(source: Path, output: Path) -> Path:
    table = open_table(source)
    target = open_target(output, table, ["类别", "置信度"])
    for i, row in enumerate(table.rows()):
        target.write(row, ["微城管", 0.5], i % 2 == 1)
    target.close(SUMMARY)
    return output


def test_workbook_keeps_every_cell_and_its_type(tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.active
    sheet.title = "来信"
    sheet.append(["二〇二六年来信汇总"])
    sheet.append(["内容", "日期", "编号", "是否", "金额"])
    sheet.append(["路灯不亮", date(2026, 11, 2), 7, True, 1.5])
    sheet.append(["=HYPERLINK(1)", None, "007", False, 1.5e300])
    sheet["C3"].number_format = "000"
    sheet.delete_rows(1)
    workbook.save(tmp_path / "a.xlsx")
    found = load_workbook(tagged(tmp_path / "a.xlsx", tmp_path / "b.xlsx"))
    sheet = found["来信"]
    assert [c.value for c in sheet[1]] == ["内容", "日期", "编号", "是否", "金额", "类别", "置信度"]
    assert [c.value for c in sheet[2]] == [
        "路灯不亮", datetime(2026, 11, 2), 7, True, 1.5, "微城管", 0.5,
    ]  # fmt: skip
    assert sheet["C2"].number_format == "000"
    assert sheet["B2"].is_date
    assert [c.value for c in sheet[3]][:5] == ["=HYPERLINK(1)", None, "007", False, 1.5e300]
    assert sheet["A3"].data_type == "s"
    assert sheet["F3"].fill.fgColor.rgb != sheet["F2"].fill.fgColor.rgb
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:G3"
    (choice,) = sheet.data_validations.dataValidation
    assert (str(choice.sqref), choice.formula1) == ("F2:F3", "汇总!$A$4:$A$5")
    assert [c.value for c in found["汇总"]["A"]][3:5] == ["微城管", "其他"]
    assert len(found["汇总"]._charts) == 1


def test_formats_that_are_built_in(tmp_path: Path) -> None:
    """A date or sum in the format of the country (by number) stays so."""
    workbook = Workbook()
    workbook.active.append(["内容", "日期", "金额"])
    workbook.active.append(["路灯不亮", date(2026, 11, 2), 1.5])
    workbook.active["B2"].number_format = BUILTIN_FORMATS[14]
    workbook.active["C2"].number_format = BUILTIN_FORMATS[44]
    workbook.save(tmp_path / "a.xlsx")
    sheet = load_workbook(tagged(tmp_path / "a.xlsx", tmp_path / "b.xlsx")).worksheets[0]
    assert sheet["B2"].value == datetime(2026, 11, 2)
    with zipfile.ZipFile(tmp_path / "b.xlsx") as file:
        styles = file.read("xl/styles.xml").decode()
    assert "<numFmts" not in styles
    assert {"14", "44"} <= set(re.findall(r'numFmtId="(\d+)"', styles))


def test_the_first_day_of_excel_and_long_numbers(tmp_path: Path) -> None:
    days = [1, 1.5, 2, 60, 0.25]
    workbook = Workbook()
    workbook.active.append(["内容", "日期", "编号"])
    for day, number in zip(days, [10**15 - 1, 10**15, 10**15 + 1, -(10**15), 1], strict=True):
        workbook.active.append(["路灯不亮", day, number])
        workbook.active.cell(workbook.active.max_row, 2).number_format = "yyyy-mm-dd hh:mm"
    workbook.save(tmp_path / "a.xlsx")
    before = values(tmp_path / "a.xlsx")
    tagged(tmp_path / "a.xlsx", tmp_path / "b.xlsx")
    after = values(tmp_path / "b.xlsx")
    assert [row[1] for row in after] == [row[1] for row in before]
    assert before[1][1] == datetime(1900, 1, 1, 12)
    assert [row[2] for row in after] == [
        10**15 - 1, "1000000000000000", "1000000000000001", "-1000000000000000", 1,
    ]  # fmt: skip


def test_decimals_and_long_cells_in_a_workbook(tmp_path: Path) -> None:
    sums = [Decimal("12.50"), Decimal("1234567890.1234567")]
    texts = ["😀" * 20_000, "路灯不亮"]
    pyarrow.parquet.write_table(
        pyarrow.table({"内容": texts, "金额": sums}), str(tmp_path / "a.parquet")
    )
    tagged(tmp_path / "a.parquet", tmp_path / "b.xlsx")
    after = values(tmp_path / "b.xlsx")
    assert [row[1] for row in after] == [12.5, "1234567890.1234567"]  # Excel keeps 15 digits
    assert after[0][0] == "😀" * 16_383


def test_too_wide_for_excel(tmp_path: Path) -> None:
    workbook = Workbook()
    workbook.active.append(["内容"])
    workbook.active["A2"], workbook.active["XFD2"] = "路灯不亮", "x"
    workbook.save(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match=r"工作表“Sheet” 有 16,384 列.*-o 结果\.csv"):
        open_target(tmp_path / "b.xlsx", open_table(tmp_path / "a.xlsx"), ["类别"])
    tagged(tmp_path / "a.xlsx", tmp_path / "b.csv")
    assert open_table(tmp_path / "b.csv").header[-2:] == ["类别", "置信度"]


def test_no_rows_are_left_beside_a_workbook(xlsx: Path, tmp_path: Path) -> None:
    (tmp_path / "结果").mkdir()
    tagged(xlsx, tmp_path / "结果" / "b.xlsx")
    target = open_target(tmp_path / "结果" / "c.xlsx", open_table(xlsx), ["类别"])
    target.write([Cell("路灯")], ["x"], True)
    assert list((tmp_path / "结果" / ".c.rows").iterdir())
    del target  # interrupted
    gc.collect()
    assert {p.name for p in (tmp_path / "结果").iterdir()} <= {"b.xlsx", "c.xlsx"}


def test_rows_above_the_header_stay(tmp_path: Path) -> None:
    workbook = Workbook()
    for row in [[], [], ["内容"], ["路灯不亮"]]:
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    sheet = load_workbook(tagged(tmp_path / "a.xlsx", tmp_path / "b.xlsx")).worksheets[0]
    assert (sheet["A3"].value, sheet["A4"].value, sheet["B4"].value) == (
        "内容", "路灯不亮", "微城管",
    )  # fmt: skip


def test_text_that_no_file_can_hold(tmp_path: Path) -> None:
    text = "a\x00b\ud83d" + "长" * 40_000
    (tmp_path / "a.jsonl").write_text(json.dumps({"内容": text}) + "\n", encoding="utf-8")
    sheet = load_workbook(tagged(tmp_path / "a.jsonl", tmp_path / "b.xlsx")).worksheets[0]
    assert sheet["A2"].value == "ab" + "长" * 32_765
    tagged(tmp_path / "a.jsonl", tmp_path / "b.csv")
    tagged(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    tagged(tmp_path / "a.jsonl", tmp_path / "b.parquet")
    assert values(tmp_path / "b.csv")[0][0] == "ab" + "长" * 40_000


@pytest.mark.parametrize("suffix", [".xlsx", ".csv", ".jsonl", ".parquet"])
def test_same_bytes_every_time(xlsx: Path, tmp_path: Path, suffix: str) -> None:
    one, two = tmp_path / f"1{suffix}", tmp_path / f"2{suffix}"
    assert tagged(xlsx, one).read_bytes() == tagged(xlsx, two).read_bytes()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-路灯", "'-路灯"), ("\t=1", "'\t=1"), ("-5", "-5"), ("+86", "+86"),
        ("-1,234.5%", "-1,234.5%"), ("\ud800=1+1", "'=1+1"), ("\0=1+1", "'=1+1"),
        ("路灯=坏", "路灯=坏"), (3, 3), (None, None),
    ],
)  # fmt: skip
def test_csv_cells_are_harmless(value: Any, written: Any) -> None:
    assert harmless(value) == written


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("二〇二六年第一季度群众来信来访和电话投诉意见建议汇总表（报市政府）", None),
        ("'来信'", "来信"),
        ("来[信]:*?/\\", "来信"),
        ("'", "打标结果"),
        ("汇总", "打标结果"),
    ],
)
def test_any_name_of_a_sheet(xlsx: Path, tmp_path: Path, name: str, written: str | None) -> None:
    target = open_target(tmp_path / "b.xlsx", replace(open_table(xlsx), sheet=name), ["类别"])
    target.close(SUMMARY)
    assert load_workbook(tmp_path / "b.xlsx").sheetnames[0] == (written or name[:31])


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_nested_values_are_json(tmp_path: Path, suffix: str) -> None:
    row = {"内容": "路灯不亮", "标签": ["灯", {"路": None}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    tagged(tmp_path / "a.jsonl", tmp_path / f"b{suffix}")
    assert values(tmp_path / f"b{suffix}")[0][1] == '["灯", {"路": null}]'


def test_unknown_output_kind(xlsx: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.xlsx、\.csv"):
        open_target(tmp_path / "a.doc", open_table(xlsx), [])


def test_output_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.xlsx"
    target.write_bytes(b"old")

    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="磁盘"):
        write_whole(target, fails)
    assert target.read_bytes() == b"old"
    before = os.umask(0o077)
    try:
        write_whole(target, lambda path: path.write_bytes(b"new"))
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["out.xlsx"]
    with pytest.raises(InputError, match="文件夹是否存在"):
        write_whole(tmp_path / "none" / "out.xlsx", fails)
