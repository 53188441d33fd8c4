"""Real xlsx and CSV files, good and bad, through the readers and writers."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from classifier import InputError
from classifier.tables import Table, read_table, text_columns, write_tagged, write_whole

ROWS = [
    ["编号", "标题", "内容"],
    [1, "路灯", "巷子里的路灯不亮，晚上回家看不见"],
    [2, "垃圾", "垃圾没人收"],
]


@pytest.fixture
def xlsx(tmp_path: Path) -> Path:
    workbook = Workbook()
    for row in ROWS:
        workbook.active.append(row)
    workbook.active["A1"].comment = None
    workbook.create_sheet("说明").append(["不要读我"])
    workbook.save(tmp_path / "建议.xlsx")
    return tmp_path / "建议.xlsx"


def csv_bytes(encoding: str, delimiter: str = ",") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(ROWS)
    return out.getvalue().encode(encoding)


def test_xlsx(xlsx: Path) -> None:
    table = read_table(xlsx)
    assert table.header == ROWS[0]
    assert table.rows == ROWS[1:]
    assert table.first_row == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_csv_in_every_encoding(tmp_path: Path, encoding: str, delimiter: str) -> None:
    path = tmp_path / "建议.csv"
    path.write_bytes(csv_bytes(encoding, delimiter))
    table = read_table(path)
    assert table.header == ROWS[0]
    assert table.rows[0] == ["1", "路灯", "巷子里的路灯不亮，晚上回家看不见"]


def test_csv_that_is_an_xlsx(xlsx: Path) -> None:
    renamed = xlsx.with_suffix(".csv")
    xlsx.rename(renamed)
    assert read_table(renamed).rows == ROWS[1:]


def test_empty_rows_keep_their_place(tmp_path: Path) -> None:
    workbook = Workbook()
    for row in [[], ["内容"], ["路灯不亮"], [], ["垃圾没人收"]]:
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    table = read_table(tmp_path / "a.xlsx")
    assert table.first_row == 3
    assert table.rows == [["路灯不亮"], [None], ["垃圾没人收"]]


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("a.xlsx", b"", "空文件"),
        ("a.csv", b"", "空文件"),
        ("a.csv", b"\r\n\r\n", "空文件"),
        ("a.xlsx", b"not a zip at all", "已损坏"),
        ("a.xlsx", b"PK\x03\x04 broken zip", "已损坏"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "密码"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "另存为 .xlsx"),
        ("a.csv", b"\xff\x81\x00\xfe\xff", "编码"),
        ("a.docx", b"plain", "不认识"),
    ],
)
def test_bad_files_get_advice(tmp_path: Path, name: str, content: bytes, advice: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=advice):
        read_table(tmp_path / name)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="找不到文件"):
        read_table(tmp_path / "没有.xlsx")


def test_text_columns() -> None:
    assert text_columns(["编号", "标题", "内容"], None) == ["标题", "内容"]
    assert text_columns(["诉求内容"], None) == ["诉求内容"]
    assert text_columns(["甲", "乙"], "乙") == ["乙"]
    assert text_columns(["甲", "乙"], "甲，乙") == ["甲", "乙"]
    with pytest.raises(InputError, match=r"没有“丙”.*甲、乙"):
        text_columns(["甲", "乙"], "丙")
    with pytest.raises(InputError, match="--text"):
        text_columns(["甲", "乙"], None)


def test_tagged_workbook_keeps_everything(xlsx: Path, tmp_path: Path) -> None:
    workbook = load_workbook(xlsx)
    workbook.active["A2"].number_format = "000"
    workbook.active["D1"] = "日期"
    workbook.active["D2"] = date(2026, 11, 2)
    workbook.active["D3"] = "=1+1"
    workbook.save(xlsx)
    output = tmp_path / "out.xlsx"
    write_tagged(read_table(xlsx), ["类别"], [["微城管"], ["微城管"]], [False, True], output)
    sheet = load_workbook(output).worksheets[0]
    assert sheet["A2"].number_format == "000"
    assert sheet["D2"].value.date() == date(2026, 11, 2)
    assert sheet["D3"].value == "=1+1"
    assert [c.value for c in sheet["E"]] == ["类别", "微城管", "微城管"]
    assert sheet["E3"].fill.fgColor.rgb != sheet["E2"].fill.fgColor.rgb
    assert load_workbook(output).sheetnames == ["Sheet", "说明"]


def test_text_that_looks_like_a_formula_stays_text(tmp_path: Path) -> None:
    table = Table(tmp_path / "a.csv", ["内容"], [["=HYPERLINK(1)"], ["a\x00b\ud800"]], 2)
    write_tagged(table, ["类别"], [["其他"], ["其他"]], [True, True], tmp_path / "o.xlsx")
    sheet = load_workbook(tmp_path / "o.xlsx").active
    assert (sheet["A2"].value, sheet["A2"].data_type) == ("=HYPERLINK(1)", "s")
    assert sheet["A3"].value == "ab"


def test_output_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.xlsx"
    target.write_bytes(b"old")

    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="磁盘"):
        write_whole(target, fails)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.xlsx"]
    with pytest.raises(InputError, match="文件夹是否存在"):
        write_whole(tmp_path / "none" / "out.xlsx", fails)
