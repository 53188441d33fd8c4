"""Tables as offices have them: titles, odd quotes, bad bytes, escapes, formulas."""

from __future__ import annotations

import random
import re
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from openpyxl import Workbook
from openpyxl.styles import Border, Side

from classifier import InputError
from classifier.tables import open_table
from classifier.tables.workbooks import _workbook
from tests.test_tables import ROWS, values


def edit(xlsx: Path, part: str, change: Callable[[bytes], bytes]) -> None:
    with zipfile.ZipFile(xlsx) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    parts[part] = change(parts[part])
    with zipfile.ZipFile(xlsx, "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)


def sheet_of(path: Path, cells: str) -> Path:
    """A workbook with the header 内容, 编号, and then `cells` as XML before the number 1."""
    workbook = Workbook()
    workbook.active.append(["内容", "编号"])
    workbook.save(path)
    rows = f'<row r="2">{cells}<c r="B2"><v>1</v></c></row></sheetData>'.encode()
    edit(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"</sheetData>", rows))
    return path


def text_file(tmp_path: Path, content: str | bytes, name: str = "a.csv") -> Path:
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def test_excel_escapes_are_decoded(tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(str(tmp_path / "a.xlsx"))  # shared strings, escaped as by Excel
    book.add_worksheet().write_column(0, 0, ["内容", "路灯\r\n不亮"])
    book.close()
    assert values(tmp_path / "a.xlsx") == [["路灯\r\n不亮"]]
    inline = '<c r="A2" t="inlineStr"><is><t>a_x000d_b_x005F_x000D_c</t></is></c>'
    assert values(sheet_of(tmp_path / "b.xlsx", inline)) == [["a\rb_x000D_c", 1]]


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        ('<c r="A2" t="str"><f>IF(1,"")</f><v></v></c>', None),
        ('<c r="A2" t="str"><f>A9</f><v>路灯不亮</v></c>', "路灯不亮"),
        ('<c r="A2"><f t="array" ref="A2">SUM(1,2)</f></c>', "=SUM(1,2)"),
        ('<c r="A2"><f t="dataTable" ref="A2" r1="B1"/></c>', None),
    ],
)
def test_results_of_formulas(tmp_path: Path, cells: str, value: Any) -> None:
    assert values(sheet_of(tmp_path / "a.xlsx", cells)) == [[value, 1]]


@pytest.mark.parametrize(
    "cells", ['<c r="A2" t="s"><v>99</v></c>', '<c r="A2" s="99"><v>1</v></c>']
)
def test_indices_out_of_range(tmp_path: Path, cells: str) -> None:
    with pytest.raises(InputError, match="已损坏"):
        open_table(sheet_of(tmp_path / "a.xlsx", cells))


def test_a_strict_workbook_gets_advice(tmp_path: Path) -> None:
    workbook = Workbook()
    workbook.active.append(["内容"])
    workbook.save(tmp_path / "a.xlsx")
    usual, strict = b"http://schemas.openxmlformats.org/", b"http://purl.oclc.org/ooxml/"
    for part in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet1.xml"):
        edit(tmp_path / "a.xlsx", part, lambda xml: xml.replace(usual, strict))
    with pytest.raises(InputError, match=r"Strict Open XML.*另存为普通的"):
        open_table(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    ("first", "header"),
    [
        ("备注,备注,内容", ["备注", "备注_2", "内容"]),
        ("列2,,内容", ["列2", "列2_2", "内容"]),
        ("内容,内容,内容_2", ["内容", "内容_3", "内容_2"]),
    ],
)
def test_column_names_are_unique(tmp_path: Path, first: str, header: list[str]) -> None:
    assert open_table(text_file(tmp_path, f"{first}\n1,2,3\n")).header == header


def test_column_names_of_parquet_are_unique(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = [pyarrow.array(["a"]), pyarrow.array(["b"])]
    parquet.write_table(pyarrow.table(columns, names=["备注", "备注"]), tmp_path / "a.parquet")
    assert open_table(tmp_path / "a.parquet").header == ["备注", "备注_2"]
    assert values(tmp_path / "a.parquet") == [["a", "b"]]


def test_parquet_with_text_that_is_not_utf8(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    bad = pyarrow.array([b"\xff\xfe"], pyarrow.binary()).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"内容": bad}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="读不出"):
        values(tmp_path / "a.parquet")


@pytest.mark.parametrize("end", ["", "\n", "\n5,“绿化”\n"])
def test_a_quote_that_is_never_closed_takes_no_rows(tmp_path: Path, end: str) -> None:
    rows = '编号,内容\n1,"路灯\n不亮"\n2,"垃圾没人收\n3,噪音\n4,停车难' + end
    path = text_file(tmp_path, rows)
    assert [row[1] for row in values(path)][:4] == ["路灯\n不亮", '"垃圾没人收', "噪音", "停车难"]
    assert "1 行的引号没有合上" in open_table(path).note
    assert "第 3 行" in open_table(path).note


def test_a_quote_closed_by_one_of_a_later_row(tmp_path: Path) -> None:
    path = text_file(tmp_path, '编号,内容\n1,"路灯不亮\n2,噪音\n3,"吵,闹"\n')
    assert values(path) == [["1", '"路灯不亮'], ["2", "噪音"], ["3", "吵,闹"]]


def test_one_column_is_not_split(tmp_path: Path) -> None:
    path = text_file(tmp_path, '\n内容\n三路…不来;希望,增加\t班次;谢谢\n"两行\n的，""话"""\n')
    table = open_table(path)
    assert (table.header, table.first_row) == (["内容"], 3)
    assert values(path) == [["三路…不来;希望,增加\t班次;谢谢"], ['两行\n的，"话"']]


def test_title_above_the_header(tmp_path: Path) -> None:
    workbook = Workbook()
    title = ["2024年市民建议汇总表"]
    for row in [title, ["单位", "市长热线"], [], *ROWS]:
        workbook.active.append(row)
    workbook.active.merge_cells("A1:C1")
    workbook.save(tmp_path / "a.xlsx")
    table = open_table(tmp_path / "a.xlsx")
    assert (table.header, table.first_row, table.total) == (ROWS[0], 5, 2)
    assert table.above[0][0].value == title[0]
    assert values(tmp_path / "a.xlsx") == ROWS[1:]
    path = text_file(tmp_path, "2024年汇总;表\n编号;类型,来信,日期\n1,建议,路灯\n")
    assert open_table(path, "来信").header == ["编号;类型", "来信", "日期"]
    path = text_file(tmp_path, "编号,类型,来信\n1,建议,路灯\n")
    assert open_table(path).header == ["编号", "类型", "来信"]


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        # A title is not the header, be it called as a column may be.
        ("意见建议\n编号,姓名,内容\n1,张三,路灯不亮\n", ["编号", "姓名", "内容"]),
        ("建议\n,\n单位,热线\n编号,姓名,内容\n1,张三,灯\n", ["编号", "姓名", "内容"]),
        ("内容\n路灯不亮\n建议,修一修\n垃圾\n", ["内容"]),
        # Nor are values that are called so, in a row that is longer than others.
        ("类别,反馈\n建议,路灯不亮\n意见,垃圾,备注2\n", ["类别", "反馈", "列3"]),
        ("类别,反馈\n投诉,路灯\n意见,垃圾,急\n投诉,噪音\n", ["类别", "反馈", "列3"]),
        # What is found as before: rows of two cells above, empty cells below, a header twice.
        ("单位,热线\n编号,内容,备注\n1,灯,\n", ["编号", "内容", "备注"]),
        ("单位,热线\n时间,五月\n编号,内容,备注\n1,灯,急\n", ["编号", "内容", "备注"]),
        ("单位,热线\n编号,内容,急\n1,灯,\n编号,内容,急\n2,灯,\n", ["编号", "内容", "急"]),
    ],
)
def test_titles_and_values_called_as_columns_are(
    tmp_path: Path, rows: str, header: list[str]
) -> None:
    assert open_table(text_file(tmp_path, rows)).header == header


def test_a_title_called_as_columns_are_in_a_workbook(tmp_path: Path) -> None:
    workbook = Workbook()
    for row in [["意见建议"], *ROWS]:
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    assert values(tmp_path / "a.xlsx") == ROWS[1:]


def test_columns_between_bars(tmp_path: Path) -> None:
    path = text_file(tmp_path, "编号|内容\n1|路灯不亮，晚上看不见,急\n")
    assert values(path) == [["1", "路灯不亮，晚上看不见,急"]]


@pytest.mark.parametrize("line", ['{n},他说"好,"不修\n', '{n}","y\n', '{n},"不修\n'])
def test_quotes_that_are_never_closed_take_no_time(tmp_path: Path, line: str) -> None:
    lines = [line.format(n=n) for n in range(20_000)]
    path = text_file(tmp_path, '编号,内容\n1,"y\n' + "".join(lines))
    start = time.monotonic()
    assert [row[0].rstrip('"') for row in values(path)][1:] == [str(n) for n in range(20_000)]
    assert time.monotonic() - start < 30  # it was minutes


def test_a_row_of_many_lines(tmp_path: Path) -> None:
    text = "\n".join(f"第{n}条，路灯" for n in range(900))
    path = text_file(tmp_path, f'编号,内容\n1,"{text}"\n2,好\n')
    assert values(path) == [["1", text], ["2", "好"]]


def test_the_line_that_tells_excel_the_delimiter(tmp_path: Path) -> None:
    path = text_file(tmp_path, "\ufeffsep=;\r\n编号;内容\r\n1;a,b,c\r\n")
    table = open_table(path)
    assert (table.header, table.first_row) == (["编号", "内容"], 2)
    assert values(path) == [["1", "a,b,c"]]


def test_number_of_thousands_of_digits(tmp_path: Path) -> None:
    path = text_file(tmp_path, '{"a": 1}\n{"a": ' + "9" * 5000 + "}\n", "a.jsonl")
    with pytest.raises(InputError, match="第 2 行"):
        open_table(path)


def test_folder_without_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(InputError, match="权限"):
        open_table(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_a_few_bad_bytes(tmp_path: Path, encoding: str) -> None:
    whole = "编号,内容\n1,路灯不亮\n2,垃圾没人收\n3,噪音"
    path = text_file(tmp_path, whole.encode(encoding)[:-1])
    table = open_table(path)
    assert table.header == ["编号", "内容"]
    assert [row[1] for row in values(path)][:2] == ["路灯不亮", "垃圾没人收"]
    assert values(path)[2][1] == "噪\ufffd"
    assert "1 处坏字节" in table.note
    assert "第 4 行" in table.note


def test_half_characters_in_bytes(tmp_path: Path) -> None:
    text = "编号,内容\n1,路灯\ud83d不亮，晚上回家看不见\n2,垃圾\n"
    path = text_file(tmp_path, text.encode("utf-8", "surrogatepass"))
    assert values(path)[1][1] == "垃圾"
    assert "编码 UTF-8，有 1 处坏字节" in open_table(path).note
    line = '{"内容": "路灯\ud83d不亮"}\n'.encode("utf-8", "surrogatepass")
    path = text_file(tmp_path, '{"内容": "好"}\n'.encode() + line, "a.jsonl")
    assert "第 2 行" in open_table(path).note


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_its_mark(tmp_path: Path, encoding: str) -> None:
    path = text_file(tmp_path, "编号,内容\r\n1,一一一一上一一一路灯\r\n".encode(encoding))
    assert values(path) == [["1", "一一一一上一一一路灯"]]


def test_old_workbooks(tmp_path: Path) -> None:
    xlwt = pytest.importorskip("xlwt")
    workbook = xlwt.Workbook()
    sheet = workbook.add_sheet("来信")
    for r, row in enumerate([["内容", "电话"], ["路灯", 13812345678], ["垃圾", 1.5]], 1):
        for c, value in enumerate(row, 1):
            sheet.write(r, c, value)
    workbook.add_sheet("说明").write(0, 0, "不要读我")
    workbook.add_sheet("空")
    workbook.save(str(tmp_path / "旧.xls"))
    table = open_table(tmp_path / "旧.xls")
    assert (table.header, table.first_row) == (["列1", "内容", "电话"], 3)
    assert str(values(tmp_path / "旧.xls")) == (
        "[[None, '路灯', 13812345678], [None, '垃圾', 1.5]]"
    )
    assert table.note == "读的是工作表“来信”，没有读：说明"


def test_hidden_sheets_of_old_workbooks(tmp_path: Path) -> None:
    xlwt = pytest.importorskip("xlwt")
    workbook = xlwt.Workbook()
    for visibility, title in ((1, "藏"), (2, "深藏"), (0, "来信")):
        sheet = workbook.add_sheet(title)
        sheet.visibility = visibility
        sheet.write(0, 0, "内容")
        sheet.write(1, 0, title)
    workbook.active_sheet = 2
    workbook.save(str(tmp_path / "旧.xls"))
    assert values(tmp_path / "旧.xls") == [["来信"]]
    assert open_table(tmp_path / "旧.xls").unread == ()


def test_an_old_workbook_called_otherwise(tmp_path: Path) -> None:
    xlwt = pytest.importorskip("xlwt")
    workbook = xlwt.Workbook()
    for r, row in enumerate(ROWS):
        if not r:
            sheet = workbook.add_sheet("来信")
        for c, value in enumerate(row):
            sheet.write(r, c, value)
    for name in ("a.xlsx", "a.csv", "a.et"):
        workbook.save(str(tmp_path / name))
        assert values(tmp_path / name) == ROWS[1:]


def test_damaged_old_workbooks(tmp_path: Path) -> None:
    """On some calamine panics, on some it ends the process."""
    xlwt = pytest.importorskip("xlwt")
    workbook = xlwt.Workbook()
    workbook.add_sheet("来信").write(0, 0, "内容")
    workbook.save(str(tmp_path / "a.xls"))
    whole, rng = (tmp_path / "a.xls").read_bytes(), random.Random(1)
    for _ in range(20):
        damaged = bytearray(whole[: rng.randrange(600, len(whole))])
        for _ in range(20):
            damaged[rng.randrange(8, len(damaged))] = rng.randrange(256)
        with pytest.raises(InputError):
            open_table(text_file(tmp_path, bytes(damaged), "a.xls"))
    (tmp_path / "python_calamine.py").write_text("raise SystemExit")
    workbook.get_sheet(0).write(1, 0, "路灯不亮")
    workbook.save(str(tmp_path / "a.xls"))
    with pytest.MonkeyPatch.context() as change:
        change.chdir(tmp_path)  # what lies beside a table is not run
        assert values(Path("a.xls")) == [["路灯不亮"]]


def test_borders_below_and_colours_beside_are_no_table(tmp_path: Path) -> None:
    workbook = Workbook()
    for row in [*ROWS, [], [3, "", "停车难"], [" "]]:
        workbook.active.append(row)
    for r in range(1, 300):
        workbook.active.cell(r, 9).border = Border(left=Side("thin"))
    workbook.save(tmp_path / "a.xlsx")
    table = open_table(tmp_path / "a.xlsx")
    assert (table.header, table.total) == (ROWS[0], 4)
    assert values(tmp_path / "a.xlsx")[2:] == [[None, None, None], [3, None, "停车难"]]
    assert "末尾 294 行是空的" in table.note
    path = text_file(tmp_path, "编号,内容,\n1,路灯,\n\n2,垃圾,\n,,\n,,\n")
    assert (open_table(path).header, open_table(path).total) == (["编号", "内容", "列3"], 3)
    with pytest.raises(InputError, match="只有表头"):
        open_table(text_file(tmp_path, "编号,内容\n,\n"))


@pytest.mark.parametrize("number", [14, 27, 31, 57, 58])
def test_dates_of_chinese_excel(tmp_path: Path, number: int) -> None:
    workbook = Workbook()
    workbook.active.append(["内容", "日期", "不是日期", "时长"])
    workbook.active.append(["路灯", date(2026, 11, 2), 20261102, timedelta(hours=30)])
    workbook.active.append(["路灯", -1, 3_000_000, None])
    for cell in ("B2", "C2", "B3", "C3"):
        workbook.active[cell].number_format = "yyyy-mm-dd"
    workbook.active["D2"].number_format = "[h]:mm:ss"
    workbook.save(tmp_path / "a.xlsx")
    style = f'numFmtId="{number}"'.encode()

    def change(xml: bytes) -> bytes:
        return re.sub(b"<numFmts.*</numFmts>", b"", xml).replace(b'numFmtId="164"', style)

    edit(tmp_path / "a.xlsx", "xl/styles.xml", change)
    assert [row[1:] for row in values(tmp_path / "a.xlsx")] == [
        [datetime(2026, 11, 2), 20261102, timedelta(hours=30)], [-1, 3_000_000, None],
    ]  # fmt: skip
    first = next(open_table(tmp_path / "a.xlsx").rows())
    assert ("月" in first[1].number_format) == (number != 14)


def test_the_sheet_with_suggestions_is_read(tmp_path: Path) -> None:
    workbook = Workbook()
    workbook.active.title = "填表说明"
    workbook.active.append(["每行写一条建议"])
    workbook.active.append(["不要合并单元格"])
    for title in ("一月", "二月"):
        for row in ROWS:
            if title not in workbook.sheetnames:
                workbook.create_sheet(title)
            workbook[title].append(row)
    workbook.save(tmp_path / "a.xlsx")
    table = open_table(tmp_path / "a.xlsx")
    assert (table.sheet, table.unread) == ("一月", ("二月",))
    assert table.note == "读的是工作表“一月”，没有读：填表说明、二月"
    table = open_table(tmp_path / "a.xlsx", "每行写一条建议")
    assert (table.sheet, table.unread) == ("填表说明", ())


def test_mark_of_byte_order_twice(tmp_path: Path) -> None:
    path = text_file(tmp_path, "\ufeff\ufeff内容,编号\n路灯,1\n")
    assert open_table(path).header == ["内容", "编号"]


def test_csv_that_begins_with_pk(tmp_path: Path) -> None:
    assert open_table(text_file(tmp_path, "PK,内容\n1,路灯\n")).header == ["PK", "内容"]


def test_rows_longer_or_shorter_than_the_header_are_told(tmp_path: Path) -> None:
    path = text_file(tmp_path, "编号,内容\n1,路灯,\n\n2,垃圾,没人收\n3\n")
    assert "2 行的格数和表头不同（最早第 4 行）" in open_table(path).note
    path = text_file(tmp_path, "编号,内容\n1,路灯\n")
    assert open_table(path).note == "编码 UTF-8"


def packed(path: Path, part: str, end: bytes, filling: bytes, times: int) -> Path:
    """A workbook with `filling` repeated before the `end` of a part."""
    book = xlsxwriter.Workbook(str(path))  # with shared strings
    book.add_worksheet().write_column(0, 0, ["内容", "路灯不亮"])
    book.close()
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    before, _, after = parts[part].partition(end)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, data in parts.items():
            if name != part:
                file.writestr(name, data)
        with file.open(part, "w") as out:
            out.write(before)
            for _ in range(times):
                out.write(filling)
            out.write(end + after)
    return path


@pytest.mark.parametrize(
    ("part", "end", "filling", "times"),
    [
        ("xl/sharedStrings.xml", b"</sst>", b"<si><t>" + b"x" * 1_000_000 + b"</t></si>", 60),
        ("xl/sharedStrings.xml", b"</sst>", b"<si/>" * 200_000, 200),
        ("xl/styles.xml", b"</cellXfs>", b"<xf/>" * 200_000, 12),
        ("[Content_Types].xml", b"</Types>", b" " * 1_000_000, 101),
    ],
)
def test_a_small_workbook_does_not_take_all_memory(
    tmp_path: Path, part: str, end: bytes, filling: bytes, times: int
) -> None:
    path = packed(tmp_path / "a.xlsx", part, end, filling, times)
    assert path.stat().st_size < 2_000_000
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.xlsx 里的文字或格式解开后太大"):
        open_table(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_sheet_may_be_as_large_as_it_likes(tmp_path: Path) -> None:
    row = b"<row><c t='inlineStr'><is><t>" + "路灯不亮".encode() + b"</t></is></c></row>"
    part = "xl/worksheets/sheet1.xml"
    path = packed(tmp_path / "a.xlsx", part, b"</sheetData>", row * 1000, 1000)
    assert len(row) * 1_000_000 > max(50_000_000, 150 * path.stat().st_size)
    with _workbook(path, values=True) as [sheet]:
        assert sheet.title == "Sheet1"
