"""The job on whole files: resumed after kill -9, masked, in folders, corrected by people."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.utils import get_column_letter

from classifier import InputError, SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.cli import cli
from classifier.tables import open_table
from classifier.tagging import ADDED, default_output, expand, tag_file
from tests.conftest import ROOT, Run
from training.corpus import read_items

CORPUS = ROOT / "training" / "data" / "corpus.jsonl"


@pytest.fixture
def many(tmp_path: Path, clf: SuggestionClassifier) -> Path:
    """A CSV of several chunks."""
    texts = [it.text for it in read_items(CORPUS, clf.taxonomy) if it.split == "test"]
    lines = [f'{i},"{text}"' for i, text in enumerate((texts * 2)[:1300])]
    path = tmp_path / "很多.csv"
    path.write_text("\n".join(["编号,内容", *lines]) + "\n", encoding="utf-8")
    return path


def test_killed_and_resumed_gives_the_same_bytes(weilei: Run, many: Path, tmp_path: Path) -> None:
    whole, again = tmp_path / "whole.csv", tmp_path / "again.csv"
    arguments = ["tag", many, "-q", "--duplicates", "-o"]
    command = [str(Path(sys.executable).with_name("weilei")), *map(str, arguments), str(again)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONUTF8": "1"})
    journal = again.with_name(".again.csv.进度")
    for _ in range(1200):
        if journal.exists() and journal.read_bytes().count(b"\n") > 500:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not again.exists()
    kept = journal.read_bytes()
    assert kept.count(b"\n") > 500
    journal.write_bytes(kept[:-7])  # the kill may cut a line in half
    done = weilei(*arguments, again, "--resume")
    assert done.returncode == 0, done.stderr
    assert weilei(*arguments, whole).returncode == 0
    assert again.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.csv", "whole.csv", "很多.csv"]


def test_resume_of_another_job_is_refused(tmp_path: Path, clf: SuggestionClassifier) -> None:
    source, output = tmp_path / "a.csv", tmp_path / "b.xlsx"
    source.write_text("内容\n路灯不亮\n", encoding="utf-8")
    journal = tmp_path / ".b.xlsx.进度"
    journal.write_text('{"file": "another"}\n["x"]\n', encoding="utf-8")
    with pytest.raises(InputError, match="去掉 --resume"):
        tag_file(source, clf, output=output, resume=True)
    tag_file(source, clf, output=output)
    assert not journal.exists()


def test_folder_masking_and_problem_rows(weilei: Run, tmp_path: Path) -> None:
    folder = tmp_path / "来件"
    folder.mkdir()
    (folder / "一.csv").write_text(
        "内容,备注\n路灯不亮，电话13812345678,=1+1\n,\n" + "长" * 33_000 + ",x\n", encoding="utf-8"
    )
    workbook = Workbook()
    workbook.active.append(["内容"])
    workbook.active.append(["老年卡在哪儿办，我叫王小明，打12345没人接"])
    workbook.save(folder / "二.xlsx")
    (folder / "坏.xlsx").write_bytes(b"PK broken")
    (folder / "说明.docx").write_bytes(b"x")
    done = weilei("tag", folder, "--mask", "names")
    assert done.returncode == 2
    assert "坏.xlsx 已损坏" in done.stderr
    assert "一.csv 第 3 行共 1 行：没有内容" in done.stdout
    assert "一.csv 第 4 行共 1 行：有单元格超过 32767 个字" in done.stdout
    one = load_workbook(folder / "一-打标.xlsx").worksheets[0]
    assert one["A2"].value == "路灯不亮，电话〔手机号〕"
    assert one["B2"].data_type == "s"
    two = load_workbook(folder / "二-打标.xlsx").worksheets[0]
    assert two["A2"].value == "老年卡在哪儿办，我叫〔姓名〕，打12345没人接"
    assert [p.name for p in expand([folder])] == ["一.csv", "二.xlsx", "坏.xlsx"]
    (tmp_path / "空").mkdir()
    assert "没有可以打标的表格" in weilei("tag", tmp_path / "空").stderr


def test_evidence_column(tmp_path: Path, clf: SuggestionClassifier) -> None:
    source, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    rows = [{"标题": "公交", "内容": "我每天坐车上班，三路公交车等了四十分钟不来"}, {"标题": ""}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    source.write_text(lines, encoding="utf-8")
    tag_file(source, clf, output=output)
    first, second = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert list(first) == ["标题", "内容", *ADDED]
    assert "公交" in first["依据"]
    assert (second["内容"], second["依据"], second["处理通道"]) == (None, "", "人工")


def test_corrections_become_training_data(weilei: Run, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("标题,内容\n灯,路灯不亮\n,老年卡怎么办\n,三路公交车不来\n", encoding="utf-8")
    assert weilei("tag", source).returncode == 0
    tagged = tmp_path / "a-打标.xlsx"
    workbook = load_workbook(tagged)
    sheet = workbook.worksheets[0]
    header = [c.value for c in sheet[1]]
    assert sheet.cell(1, len(header)).value == "原判"
    assert sheet.column_dimensions[get_column_letter(len(header))].hidden
    column = header.index("类别") + 1
    said = sheet.cell(2, column).value
    sheet.cell(2, column).value = "微安全" if said != "微安全" else "微城管"
    workbook.save(tagged)
    done = weilei("corrections", tagged, "-o", tmp_path / "改.jsonl")
    assert done.returncode == 0, done.stderr
    assert "看了 3 行，改正过的 1 行" in done.stdout
    (item,) = read_items(tmp_path / "改.jsonl", SuggestionClassifier.from_pretrained().taxonomy)
    assert item.full_text == "灯。路灯不亮"
    sheet.cell(2, column).value = "微城官"
    workbook.save(tagged)
    assert "最接近“微城管”" in weilei("corrections", tagged, "-o", tmp_path / "改.jsonl").stderr
    assert "不是 weilei tag" in weilei("corrections", source, "-o", tmp_path / "改.jsonl").stderr


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


def test_tables_of_one_name_do_not_overwrite_each_other(
    tmp_path: Path, clf: SuggestionClassifier
) -> None:
    folder, elsewhere = tmp_path / "来件", tmp_path / "别处"
    for f in (folder, elsewhere):
        f.mkdir()
    (folder / "a.csv").write_text("内容\n路灯不亮\n", encoding="utf-8")
    (folder / "A.jsonl").write_text('{"内容": "老年卡在哪儿办"}\n', encoding="utf-8")
    (folder / "b.jsonl").write_text('{"内容": "老年卡在哪儿办"}\n', encoding="utf-8")
    (elsewhere / "b.txt").write_text("内容\n路灯不亮\n", encoding="utf-8")
    assert tag_file(folder / "a.csv", clf).output == folder / "a.csv-打标.xlsx"
    files = expand([folder, folder / "a.csv", elsewhere])
    assert len(files) == 4
    written = {tag_file(f, clf, output=tmp_path, others=files).output.name for f in files}
    assert written == {
        "a.csv-打标.xlsx",
        "A.jsonl-打标.jsonl",
        "b.jsonl-打标.jsonl",
        "b.txt-打标.xlsx",
    }
    assert written <= {p.name for p in tmp_path.iterdir()}
    assert expand([folder]) == [folder / "A.jsonl", folder / "a.csv", folder / "b.jsonl"]


def test_too_long_for_excel_is_csv_in_a_folder_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("内容\n路灯不亮\n", encoding="utf-8")
    source = replace(open_table(tmp_path / "a.csv"), total=1_048_576)
    assert default_output(source, tmp_path / "x") == tmp_path / "x" / "a-打标.csv"


@pytest.mark.parametrize(
    ("cell", "suffix", "code", "problem"),
    [
        ("路灯不亮", ".xlsx", 0, ""),
        ("hello, how are you today", ".xlsx", 0, ""),  # for a person, but the file is fine
        (" ", ".xlsx", 5, "没有内容"),
        (["路灯"], ".xlsx", 5, "不是文字"),
        ("路灯不亮" * 9000, ".xlsx", 5, "Excel 放不下"),
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


def test_half_characters_in_evidence(tmp_path: Path, clf: SuggestionClassifier) -> None:
    (tmp_path / "a.jsonl").write_text('{"内容": "路灯\\ud83d不亮"}\n', encoding="utf-8")
    for suffix in (".xlsx", ".csv", ".jsonl", ".parquet"):
        tag_file(tmp_path / "a.jsonl", clf, output=tmp_path / f"b{suffix}")


def test_killed_while_starting(tmp_path: Path, clf: SuggestionClassifier) -> None:
    source, output = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("内容\n路灯不亮\n", encoding="utf-8")
    (tmp_path / ".b.csv.进度").write_text('{"file": "5f', encoding="utf-8")
    assert tag_file(source, clf, output=output, resume=True).total == 1


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["a.csv", "-o", "a.csv"], "不能是输入文件"),
        (["a.csv", "-o", "b.doc"], "结尾"),
        (["a.csv", "b.csv", "-o", "没有"], "已有的文件夹"),
        (["a.csv", "--mask", "phones"], "names"),
        (["a.csv", "--mask=phones"], "names"),
        (["a.csv", "sub/a.csv", "-o", "out"], "都叫 a.csv"),
    ],
)
def test_bad_options(weilei: Run, tmp_path: Path, arguments: list[str], advice: str) -> None:
    for folder in ("sub", "out"):
        (tmp_path / folder).mkdir()
    for name in ("a.csv", "b.csv", "sub/a.csv"):
        (tmp_path / name).write_text("内容\n路灯不亮\n", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    done = weilei("tag", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert advice in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_folder_without_permission(weilei: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("内容\n路灯不亮\n", encoding="utf-8")
    tmp_path.chmod(0o500)
    try:
        assert "是否有权限" in weilei("tag", tmp_path / "a.csv").stderr
    finally:
        tmp_path.chmod(0o700)


def test_disk_full_leaves_nothing_half(weilei: Run, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("内容\n路灯不亮\n", encoding="utf-8")
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 1; {Path(sys.executable).with_name('weilei')} tag {source} -q"],
        capture_output=True, text=True, env={**os.environ, "PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert not (tmp_path / "a-打标.xlsx").exists()
    assert shipped_model().is_dir()
