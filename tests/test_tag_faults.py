"""What is wrong with one file is told, counted, and stops no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from openpyxl import Workbook, load_workbook

from classifier import InputError, SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.cli import cli
from classifier.tagging import TOO_LONG, expand, tag_file
from tests.conftest import ROOT, Run


def tag(*arguments: object) -> object:
    """The exit code."""
    return cli.main(["tag", "-q", *map(str, arguments)], standalone_mode=False)


def csv_of(path: Path) -> Path:
    path.write_text("内容\n路灯不亮\n", encoding="utf-8")
    return path


def test_a_workbook_damaged_far_below_stops_no_other(
    tmp_path: Path, clf: SuggestionClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    workbook = Workbook()
    workbook.active.append(["内容"])
    for n in range(20_000):
        workbook.active.append([f"{n * n}号路灯不亮"])
    workbook.save(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as file:
        part = file.getinfo("xl/worksheets/sheet1.xml")
    data = bytearray((tmp_path / "a.xlsx").read_bytes())
    data[part.header_offset + part.compress_size] ^= 0xFF
    (tmp_path / "a.xlsx").write_bytes(data)
    csv_of(tmp_path / "b.csv")
    with pytest.raises(InputError, match="其余的都写好了"):
        tag(tmp_path)
    assert "a.xlsx 已损坏" in capsys.readouterr().err
    assert (tmp_path / "b-打标.xlsx").exists()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_bad_bytes_are_told_and_counted(
    kind: str, tmp_path: Path, clf: SuggestionClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"csv": "内容\n好\n路灯不亮\n", "jsonl": '{"内容": "好"}\n{"内容": ["路灯不亮"]}\n'}
    whole = rows[kind].encode()
    file = tmp_path / f"a.{kind}"
    file.write_bytes(whole.replace("不".encode(), "不".encode()[:2]))
    row = 3 if kind == "csv" else 2
    assert tag(file) == 5
    assert f"第 {row} 行共 1 行：有读不出的字节，显示成 \ufffd" in capsys.readouterr().err
    file.write_bytes(whole.replace("不".encode(), "\ufffd".encode()))  # so written, not damaged
    assert "有读不出的字节" not in str(tag_file(file, clf).problems)


def test_what_is_nested_may_be_too_long_for_excel(
    tmp_path: Path, clf: SuggestionClassifier
) -> None:
    file = tmp_path / "a.jsonl"
    rows = [{"内容": "路灯不亮", "附": n * ["路灯"]} for n in (5000, 6000)]
    # Rows are numbered as lines.
    file.write_text("\n".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    report = tag_file(file, clf, output=tmp_path / "b.xlsx")
    assert report.problems == {TOO_LONG: [3]}
    assert report.faulty
    assert not tag_file(file, clf, output=tmp_path / "b.csv").problems


def test_corrections_of_renamed_classes(tmp_path: Path, clf: SuggestionClassifier) -> None:
    text = (shipped_model() / "taxonomy.toml").read_text(encoding="utf-8")
    mine, output = tmp_path / "my.toml", tmp_path / "改.jsonl"
    mine.write_text(text.replace("微城管", "市容管理").replace("微安全", "平安"), encoding="utf-8")
    tag(csv_of(tmp_path / "a.csv"), "--taxonomy", mine)
    workbook = load_workbook(tmp_path / "a-打标.xlsx")
    assert workbook.worksheets[0]["B2"].value == "市容管理"
    workbook.worksheets[0]["B2"].value = "平安"
    workbook.save(tmp_path / "a-打标.xlsx")
    arguments = ["corrections", str(tmp_path / "a-打标.xlsx"), "-o", str(output)]
    with pytest.raises(InputError, match="不在分类表里"):
        cli.main(arguments, standalone_mode=False)
    cli.main([*arguments, "--taxonomy", str(mine)], standalone_mode=False)
    found = json.loads(output.read_text("utf-8"))
    assert found["text"] == "路灯不亮"
    assert clf.taxonomy.names[clf.taxonomy.index(found["primary"])] == "微安全"


def test_an_empty_folder_stops_no_other_input(
    tmp_path: Path, clf: SuggestionClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "空").mkdir()
    (tmp_path / "来件").mkdir()
    file = csv_of(tmp_path / "来件" / "a.csv")
    with pytest.raises(InputError, match="其余的都写好了"):
        tag(tmp_path / "空", tmp_path / "来件", file)
    told = capsys.readouterr().err
    assert told.startswith("出错了：文件夹")
    assert "没有可以打标的表格" in told
    assert (tmp_path / "来件" / "a-打标.xlsx").exists()  # once, or the first would be put aside
    assert len(list((tmp_path / "来件").iterdir())) == 2
    with pytest.raises(InputError, match="没有可以打标的表格"):
        tag(tmp_path / "空")
    with pytest.raises(InputError, match="都没有打成"):
        tag(tmp_path / "空", tmp_path / "空")


def test_a_folder_without_rights_stops_no_other_input(
    tmp_path: Path, clf: SuggestionClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "锁").mkdir()
    file, walk = csv_of(tmp_path / "a.csv"), Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "锁":
            raise PermissionError(13, "Permission denied", str(path))
        return walk(path)

    with patch.object(Path, "iterdir", refuse):
        with pytest.raises(InputError, match="其余的都写好了"):
            tag(tmp_path / "锁", file)
        assert "出错了：没有权限读写" in capsys.readouterr().err
        with pytest.raises(InputError, match="没有权限读写"):
            tag(tmp_path / "锁")
    assert (tmp_path / "a-打标.xlsx").exists()


def test_what_is_no_file_in_a_folder_is_passed_over(
    tmp_path: Path, clf: SuggestionClassifier
) -> None:
    (tmp_path / "x.csv").mkdir()  # as Spark writes it
    (tmp_path / "断.csv").symlink_to(tmp_path / "没有.csv")
    with pytest.raises(InputError, match="没有可以打标的表格"):
        expand([tmp_path])
    real = csv_of(tmp_path / "b.csv")
    for link in ("a.csv", "c.csv"):
        (tmp_path / link).symlink_to(real)
    lines = tmp_path / "d.json"
    lines.write_text('{"内容": "路灯不亮"}\n', encoding="utf-8")
    assert expand([tmp_path]) == [real, lines]
    assert tag(tmp_path) is None
    assert {p.name for p in tmp_path.glob("*-打标*")} == {"b-打标.xlsx", "d-打标.jsonl"}


def test_files_that_excel_keeps_beside_open_ones_are_passed_over(
    weilei: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("内容\n路灯不亮\n", encoding="utf-8")
    (tmp_path / "~$a.csv").write_bytes(b"\x00")
    assert weilei("tag", tmp_path / "a.csv", tmp_path / "~$a.csv", "-q").returncode == 0
    done = weilei("train", tmp_path / "~$a.csv")
    assert done.returncode == 2
    assert "临时文件" in done.stderr


def test_half_characters_can_be_printed(tmp_path: Path, weilei: Run) -> None:
    row = {"内容": "\ud83d三路公交车不来", "名\ud83d": "x"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    done = weilei("tag", "a.jsonl", "--text", "名\ufffd,内容", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    done = weilei("tag", "a.jsonl", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (5, False), done.stderr
    assert "三路公交车不来" in done.stdout


def test_one_file_that_cannot_be_read_stops_no_other(
    tmp_path: Path, clf: SuggestionClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("内容\n路灯不亮\n", encoding="utf-8")

    def refuse(file: Path, *args: Any, **kwargs: Any) -> Any:
        if file.name == "a.csv":
            raise PermissionError(13, "Permission denied", str(file))
        return tag_file(file, *args, **kwargs)

    with (
        patch("classifier.cli.tag.tag_file", refuse),
        pytest.raises(InputError, match="其余的都写好了"),
    ):
        cli.main(["tag", "-q", str(tmp_path)], standalone_mode=False)
    assert "没有权限读写" in (told := capsys.readouterr().err)
    assert "a.csv" in told
    assert (tmp_path / "b-打标.xlsx").exists()
    with pytest.raises(InputError, match="文件名太长"):
        cli.main(["tag", "-q", "长" * 100 + ".csv"], standalone_mode=False)


@pytest.mark.parametrize(
    ("cell", "suffix", "code", "problem"),
    [
        ("路灯不亮", ".xlsx", 0, ""),
        ("hello, how are you today", ".xlsx", 0, ""),  # for a person, but the file is fine
        (" ", ".xlsx", 5, "没有内容"),
        (["路灯"], ".xlsx", 5, "不是文字"),
        ("路灯不亮" * 9000, ".xlsx", 5, "Excel 放不下"),
        ("路灯不亮" * 5000 + "😀" * 10000, ".xlsx", 5, "Excel 放不下"),
        ("路灯不亮" * 9000, ".csv", 0, ""),
        ("路灯\0不亮", ".csv", 5, "控制字符"),
        ("路灯\0不亮", ".jsonl", 0, ""),
        ("路灯\ud83d不亮", ".jsonl", 5, "半个字符"),
    ],
)
def test_exit_code_says_that_rows_need_a_look(
    tmp_path: Path, weilei: Run, cell: object, suffix: str, code: int, problem: str
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"内容": cell}) + "\n", encoding="utf-8")
    done = weilei("tag", "-q", "a.jsonl", "-o", f"b{suffix}", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert problem in done.stderr
    assert ("a.jsonl 第 1 行共 1 行" in done.stderr) == bool(problem)
    assert (tmp_path / f"b{suffix}").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_folder_without_permission(weilei: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("内容\n路灯不亮\n", encoding="utf-8")
    tmp_path.chmod(0o500)
    try:
        assert "是否有权限" in weilei("tag", tmp_path / "a.csv").stderr
    finally:
        tmp_path.chmod(0o700)


_KILLED = """
import os, signal, sys
from pathlib import Path
from classifier import SuggestionClassifier
from classifier.tables.xlsx import XlsxTarget
from classifier.tagging import tag_file

usual = XlsxTarget.write

def write(self, row, added, review):
    usual(self, row, added, review)
    if self._row > 3:
        os.kill(os.getpid(), signal.Signals[sys.argv[2]])

XlsxTarget.write = write
tag_file(Path(sys.argv[1]), SuggestionClassifier.from_pretrained())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="没有这些信号")
@pytest.mark.parametrize("kind", ["SIGKILL", "SIGTERM"])
def test_rows_of_a_workbook_half_written_are_swept_by_the_next_run(
    tmp_path: Path, clf: SuggestionClassifier, kind: str
) -> None:
    folder, elsewhere = tmp_path / "来件", tmp_path / "临时"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "a.csv").write_text("内容\n" + "路灯不亮\n" * 9, encoding="utf-8")
    died = subprocess.run(
        [sys.executable, "-c", _KILLED, str(folder / "a.csv"), kind],
        env={**os.environ, "TMPDIR": str(elsewhere)}, cwd=ROOT, check=False,
    )  # fmt: skip
    assert died.returncode == -signal.Signals[kind]
    assert list(elsewhere.iterdir()) == []
    left = {p.name for p in folder.iterdir()} - {"a.csv"}
    assert len(left) == 3  # the journal, the rows, and what was to become the workbook
    assert all(name.startswith(".") for name in left)
    assert expand([folder]) == [folder / "a.csv"]
    tag_file(folder / "a.csv", clf)
    assert {p.name for p in folder.iterdir()} == {"a.csv", "a-打标.xlsx"}
