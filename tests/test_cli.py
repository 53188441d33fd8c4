"""The real command on real files: what a clerk sees, and what is left behind after an error."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from classifier import InputError, SuggestionClassifier, Taxonomy
from classifier.bundle import shipped_model
from classifier.journal import Journal
from classifier.tagging import tag_file
from tests.conftest import ROOT, Run

EXAMPLES = ROOT / "examples" / "建议.xlsx"


@pytest.fixture
def xlsx(tmp_path: Path) -> Path:
    return Path(shutil.copy(EXAMPLES, tmp_path / "建议.xlsx"))


def left_behind(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_tag_xlsx(weilei: Run, xlsx: Path) -> None:
    before = load_workbook(xlsx).active
    done = weilei("tag", xlsx)
    assert done.returncode == 0, done.stderr
    sheet = load_workbook(xlsx.with_name("建议-打标.xlsx")).active
    assert sheet.max_row == before.max_row
    assert sheet.max_row > 60
    header = [c.value for c in sheet[1]]
    width = before.max_column
    assert header[width:] == [
        "类别",
        "协办",
        "置信度",
        "处理通道",
        "原因",
        "依据",
        "主办单位",
        "备选",
        "模型",
        "原判",
    ]
    for r in range(1, before.max_row + 1):
        kept = [sheet.cell(r, c).value for c in range(1, width + 1)]
        assert kept == [before.cell(r, c).value for c in range(1, width + 1)]
    names = set(Taxonomy.load(shipped_model() / "taxonomy.toml").names)
    assert {sheet.cell(r, width + 1).value for r in range(2, sheet.max_row + 1)} <= names
    assert "自动" in done.stdout
    assert left_behind(xlsx.parent) == {"建议.xlsx", "建议-打标.xlsx"}


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-8-sig"])
def test_tag_csv(weilei: Run, tmp_path: Path, encoding: str) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes(
        "序号,诉求内容\n1,三路公交车等了四十分钟不来\n2,\n3,老年卡怎么办\n".encode(encoding)
    )
    done = weilei("tag", source, "-o", tmp_path / "b.xlsx")
    assert done.returncode == 5, done.stderr  # a row without text
    rows = list(load_workbook(tmp_path / "b.xlsx").active.iter_rows(values_only=True))
    assert [row[2] for row in rows] == ["类别", "微交通", "其他", "微养老"]
    assert (rows[2][5], rows[2][6]) == ("人工", "没有内容")


def test_brackets_in_a_text_are_text(weilei: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "内容\n[red]路灯[/red]不亮:smile:，[/b]晚上看不见\n", encoding="utf-8"
    )
    done = weilei("tag", tmp_path / "a.csv")
    assert done.returncode == 0, done.stderr
    assert "[red]路灯[/red]不亮:smile:" in done.stdout


def test_own_offices(weilei: Run, tmp_path: Path, xlsx: Path) -> None:
    text = (shipped_model() / "taxonomy.toml").read_text(encoding="utf-8")
    mine = tmp_path / "my.toml"
    mine.write_text(text.replace("市交通运输局", "桃城区交通局"), encoding="utf-8")
    done = weilei("tag", xlsx, "--taxonomy", mine)
    assert done.returncode == 0, done.stderr
    sheet = load_workbook(xlsx.with_name("建议-打标.xlsx")).active
    assert "桃城区交通局" in {c.value for row in sheet.iter_rows() for c in row}
    mine.write_text(text.replace('id = "sports"', 'id = "sport"'), encoding="utf-8")
    assert "id" in weilei("tag", xlsx, "--taxonomy", mine).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "advice"),
    [
        (["tag", "没有.xlsx"], 2, "找不到文件"),
        (["tag", "建议.xlsx", "--text", "正文"], 2, "现有的列"),
        (["tag", "无.xlsx"], 2, "--text"),
        (["tag", "坏.xlsx"], 2, "已损坏"),
        (["tag", "锁.xlsx"], 2, "密码"),
        (["tag", "空.xlsx"], 2, "空"),
        (["tag", "建议.xlsx", "-o", "没有/out.xlsx"], 2, "写不了"),
        (["tag", "建议.xlsx", "--model", "没有"], 3, "找不到模型文件夹"),
        (["tag", "建议.xlsx", "--max-error", "3"], 2, "0 和 1"),
        (["tag", "建议.xlsx", "--max-error", "x"], 2, "不是数字"),
        (["tag"], 2, "缺少"),
        (["tga"], 2, "没有 'tga' 这个命令"),
        (["tag", "--nope"], 2, "没有 '--nope' 这个选项"),
        (["train", "建议.xlsx", "-o", "m"], 2, "--label"),
        (["train", "建议.xlsx", "--epochs", "0"], 2, "'--epochs' 写得不对：要大于 0"),
        (["train", "建议.xlsx", "--epochs", "nan"], 2, "'--epochs' 写得不对：要大于 0"),
        (["train", "建议.xlsx", "--seed", "-5"], 2, "'--seed' 写得不对：要在 0 和"),
        (["train", "建议.xlsx", "--seed", "4294967296"], 2, "'--seed' 写得不对：要在 0 和"),
    ],
)
def test_errors_say_what_to_do_and_leave_nothing(
    weilei: Run, xlsx: Path, arguments: list[str], code: int, advice: str
) -> None:
    folder = xlsx.parent
    (folder / "坏.xlsx").write_bytes(b"PK\x03\x04 not really")
    (folder / "锁.xlsx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
    (folder / "空.xlsx").write_bytes(b"")
    workbook = Workbook()
    workbook.active.append(["甲", "乙"])
    workbook.active.append(["路灯不亮", "x"])
    workbook.save(folder / "无.xlsx")
    before = left_behind(folder)
    done = weilei(*arguments, cwd=folder)
    assert done.returncode == code
    assert advice in done.stderr
    assert "Traceback" not in done.stderr
    assert left_behind(folder) == before


def workbook_of(path: Path, rows: list[list[object]], *more: str) -> Workbook:
    workbook = Workbook()
    for title in more:
        workbook.create_sheet(title)
    for sheet in workbook.worksheets:
        for row in rows:
            sheet.append(row)
    workbook.save(path)
    return workbook


def test_messages_name_file_and_sheet(weilei: Run, tmp_path: Path) -> None:
    workbook_of(tmp_path / "a.xlsx", [["甲", "乙"], ["路灯不亮", "x"]])
    workbook_of(tmp_path / "b.xlsx", [["内容"], ["路灯不亮"]], "二月", "三月")
    done = weilei("tag", "-q", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "a.xlsx 工作表“Sheet”：认不出哪一列是正文" in done.stderr
    assert "b.xlsx 工作表“Sheet”：另外的工作表里也有建议，没有打标：二月、三月" in done.stderr
    done = weilei("tag", "b.xlsx", cwd=tmp_path)
    assert done.returncode == 5
    assert "没有打标：二月、三月" in done.stdout


def test_quiet_is_quiet(weilei: Run, tmp_path: Path) -> None:
    """Of what openpyxl does not know it would warn in English."""
    workbook_of(tmp_path / "a.xlsx", [["内容"], ["路灯不亮"]])
    with zipfile.ZipFile(tmp_path / "a.xlsx") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as file:
        for name, data in parts.items():
            file.writestr(name, re.sub(b"<cellStyles.*</cellStyles>", b"", data))
    done = weilei("tag", "-q", "a.xlsx", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_two_runs_on_one_table(weilei: Run, tmp_path: Path, clf: SuggestionClassifier) -> None:
    source, output = tmp_path / "a.csv", tmp_path / "a-打标.xlsx"
    source.write_text("内容\n路灯不亮\n", encoding="utf-8")
    with Journal(output, {}) as journal:
        journal.begin(False)
        journal.append([["x"]])
        done = weilei("tag", source)
        assert (done.returncode, output.exists()) == (2, False)
        assert "正由另一个 weilei tag 在写" in done.stderr
        assert list(journal.rows()) == [["x"]]
    (tmp_path / ".a-打标-0123abcd.xlsx").write_bytes(b"half")  # of a run killed while it wrote
    (tmp_path / ".a-打标-另一个.xlsx").write_bytes(b"")
    assert tag_file(source, clf, resume=False).total == 1
    assert left_behind(tmp_path) == {"a.csv", "a-打标.xlsx", ".a-打标-另一个.xlsx"}


def test_table_changed_meanwhile(tmp_path: Path, clf: SuggestionClassifier) -> None:
    source = tmp_path / "a.csv"
    source.write_text("内容\n路灯不亮\n", encoding="utf-8")

    def change(n: int) -> None:
        source.write_text("内容\n老年卡\n", encoding="utf-8")

    with pytest.raises(InputError, match="被改动了"):
        tag_file(source, clf, progress=change)
    assert not (tmp_path / "a-打标.xlsx").exists()


def test_corrections_below_a_title(weilei: Run, tmp_path: Path) -> None:
    rows: list[list[object]] = [["二〇二六年来信汇总"], ["编号", "来信"], [1, "路灯不亮"]]
    workbook_of(tmp_path / "a.xlsx", rows)
    done = weilei("tag", "a.xlsx", "--text", "来信", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    workbook = load_workbook(tmp_path / "a-打标.xlsx")
    sheet = workbook.worksheets[0]
    column = [c.value for c in sheet[2]].index("类别") + 1
    sheet.cell(3, column).value = "微安全" if sheet.cell(3, column).value != "微安全" else "微城管"
    workbook.move_sheet("汇总", -1)
    workbook.save(tmp_path / "a-打标.xlsx")
    done = weilei("corrections", "a-打标.xlsx", "-o", "改.jsonl", cwd=tmp_path)
    assert "看了 1 行，改正过的 1 行" in done.stdout, done.stderr  # 汇总 names the column
    del workbook["汇总"]
    workbook.save(tmp_path / "a-打标.xlsx")
    done = weilei("corrections", "a-打标.xlsx", "-o", "改.jsonl", cwd=tmp_path)
    assert "a-打标.xlsx 工作表“Sheet”：认不出哪一列是正文" in done.stderr
    done = weilei("corrections", "a-打标.xlsx", "--text", "来信", "-o", "改.jsonl", cwd=tmp_path)
    assert "看了 1 行，改正过的 1 行" in done.stdout, done.stderr


def test_masked_number_in_a_column_that_may_not_be_empty(
    tmp_path: Path, clf: SuggestionClassifier
) -> None:
    import pyarrow
    from pyarrow import parquet

    fields = [("内容", pyarrow.string()), ("手机", pyarrow.int64())]
    schema = pyarrow.schema([pyarrow.field(n, t, nullable=False) for n, t in fields])
    table = pyarrow.table({"内容": ["路灯不亮"], "手机": [13812345678]}, schema=schema)
    parquet.write_table(table, tmp_path / "a.parquet")
    tag_file(tmp_path / "a.parquet", clf, masked=[])
    assert parquet.read_table(tmp_path / "a-打标.parquet")["手机"].to_pylist() == [None]


def test_labels_outside_the_taxonomy_name_rows_and_nearest(weilei: Run, tmp_path: Path) -> None:
    workbook = Workbook()
    for row in [
        ["内容", "类别"],
        ["路灯不亮", "微城管"],
        ["公交太少", "微交同"],
        ["没书看", "微文化"],
    ]:
        workbook.active.append(row)
    workbook.save(tmp_path / "标注.xlsx")
    done = weilei("train", tmp_path / "标注.xlsx", "-o", tmp_path / "m")
    assert done.returncode == 2
    assert "第 3 行" in done.stderr
    assert "微交通" in done.stderr
    assert left_behind(tmp_path) == {"标注.xlsx"}


def test_help_is_chinese_and_lists_every_command(weilei: Run) -> None:
    text = weilei("--help").stdout
    assert text.startswith("用法")
    for command in (
        "tag",
        "train",
        "models",
        "suggest-labels",
        "taxonomy",
        "evaluate",
        "export",
        "info",
        "corrections",
    ):
        assert f"  {command}" in text
        page = weilei(command, "--help").stdout
        assert "用法" in page
        assert not {"Usage", "Options", "Show this"} & set(page.split())


def test_info(weilei: Run) -> None:
    text = weilei("info").stdout
    assert "市民政局" in text
    assert "weilei-small" in text
