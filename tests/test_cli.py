"""The real command on real files: what a clerk sees, and what is left behind after an error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from classifier import Taxonomy
from classifier.bundle import shipped_model
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
