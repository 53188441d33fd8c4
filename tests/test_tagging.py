"""The job on whole files: resumed after kill -9, masked, in folders, corrected by people."""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.utils import get_column_letter

from classifier import InputError, SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.corrections import collect
from classifier.tables import open_table
from classifier.tables.source import Cell
from classifier.tagging import ADDED, _fingerprint, _text, default_output, expand, tag_file
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


@pytest.mark.parametrize("suffix", [".xlsx", ".csv", ".jsonl", ".parquet"])
def test_columns_called_like_added_ones_are_kept(
    tmp_path: Path, clf: SuggestionClassifier, suffix: str
) -> None:
    source, output, again = tmp_path / "a.csv", tmp_path / f"b{suffix}", tmp_path / f"c{suffix}"
    source.write_text("类别,内容,原判\n老类,-路灯不亮,旧判\n新类,,x\n", encoding="utf-8")
    report = tag_file(source, clf, output=output)
    assert "“类别（打标）”、“原判（打标）”" in report.note
    header = open_table(output).header
    assert header[:4] == ["类别", "内容", "原判", "类别（打标）"]
    rows = [[cell.value for cell in row] for row in open_table(output).rows()]
    assert (rows[0][0], rows[0][2]) == ("老类", "旧判")
    assert collect([output], clf.taxonomy, tmp_path / "改.jsonl")[:2] == (0, 2)
    if suffix == ".xlsx":
        sheet = load_workbook(output).worksheets[0]
        assert str(sheet.data_validations.dataValidation[0].sqref) == "D2:D3"
        hidden = [header[i] for i in range(len(header)) if _hidden(sheet, i + 1)]
        assert hidden == ["原判（打标）"]
    text = output.read_text("utf-8") if suffix in (".csv", ".jsonl") else ""
    if text:  # a person corrects both rows, of which one has no text
        said = rows[0][3]
        other = "微安全" if said != "微安全" else "微城管"
        for before in {said, rows[1][3]}:
            text = text.replace(f",{before},", f",{other},").replace(
                f'"类别（打标）": "{before}"', f'"类别（打标）": "{other}"'
            )
        output.write_text(text, encoding="utf-8")
        assert collect([output], clf.taxonomy, tmp_path / "改.jsonl")[:2] == (1, 2)
        (item,) = read_items(tmp_path / "改.jsonl", clf.taxonomy)
        assert (item.text, clf.taxonomy.find(other).id) == ("-路灯不亮", item.primary)
    tag_file(output, clf, output=again)
    assert "类别（打标）（打标）" in open_table(again).header


def _hidden(sheet: Any, column: int) -> bool:
    letter = get_column_letter(column)
    return letter in sheet.column_dimensions and sheet.column_dimensions[letter].hidden


@pytest.mark.parametrize("output", ["b.xlsx", "b.jsonl", "改.txt"])
def test_corrections_overwrite_no_table(
    tmp_path: Path, clf: SuggestionClassifier, output: str
) -> None:
    files = [tmp_path / "b.xlsx", tmp_path / "b.jsonl"]
    with pytest.raises(InputError, match="-o"):
        collect(files, clf.taxonomy, tmp_path / output)


def test_tagging_again_keeps_a_corrected_table(
    weilei: Run, tmp_path: Path, clf: SuggestionClassifier
) -> None:
    (tmp_path / "a.csv").write_text("内容\n路灯不亮\n", encoding="utf-8")
    output = tag_file(tmp_path / "a.csv", clf).output
    assert tag_file(tmp_path / "a.csv", clf).aside is None  # the same again
    book = load_workbook(output)
    book.worksheets[0]["B2"] = "其他"
    book.save(output)
    corrected = output.read_bytes()
    done = weilei("tag", tmp_path / "a.csv")
    (aside,) = set(tmp_path.iterdir()) - {output, tmp_path / "a.csv"}
    assert aside.name in done.stdout.replace("\n", "")
    assert aside.read_bytes() == corrected != output.read_bytes()
    assert expand([tmp_path]) == [tmp_path / "a.csv"]  # nor is it tagged with the folder


def test_jsonl_is_json_whatever_parquet_holds(tmp_path: Path, clf: SuggestionClassifier) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"内容": ["路灯不亮"], "分": [math.nan], "各分": [[math.inf, 1.5]]})
    scores = pyarrow.array([[("甲", math.nan)]], pyarrow.map_(pyarrow.string(), pyarrow.float64()))
    table = table.append_column("表", scores)
    parquet.write_table(table, tmp_path / "a.parquet")
    tag_file(tmp_path / "a.parquet", clf, output=tmp_path / "b.jsonl")

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    found = json.loads((tmp_path / "b.jsonl").read_text("utf-8"), parse_constant=refuse)
    assert (found["分"], found["各分"], found["表"]) == (None, [None, 1.5], [["甲", None]])


def test_reports_can_be_sent(tmp_path: Path, clf: SuggestionClassifier) -> None:
    row = {"标题": "\ud83d三路", "内容\ud83d": "公交车不来", "类别\ud83d": 1}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    text = "标题,内容\ud83d"
    report = tag_file(tmp_path / "a.jsonl", clf, output=tmp_path / "b.parquet", text=text)
    repr_of = (report.columns, report.note, report.sample, report.review)
    json.dumps(repr_of, ensure_ascii=False).encode()
    assert open_table(tmp_path / "b.parquet").total == 1


def test_renamed_classes_are_another_job(tmp_path: Path, clf: SuggestionClassifier) -> None:
    (tmp_path / "a.csv").write_text("内容\n路灯不亮\n", encoding="utf-8")
    other = copy.copy(clf)
    first, *rest = clf.taxonomy
    other.taxonomy = replace(clf.taxonomy, categories=(replace(first, name="微改名"), *rest))
    source = open_table(tmp_path / "a.csv")
    assert _fingerprint(source, clf, ["内容"]) != _fingerprint(source, other, ["内容"])


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["公交", True], True),
        (["公交", date(2024, 1, 2)], date(2024, 1, 2)),
        (["公交", math.nan], "公交"),
        ([math.nan, "不来"], "不来"),
        (["公交", 3], "公交。3"),
        ([math.nan], None),
        ([True], True),
        ([12345], "12345"),
    ],
)
def test_cells_that_are_no_text(cells: list[Any], text: Any) -> None:
    assert _text([Cell(value) for value in cells], list(range(len(cells)))) == text


def test_too_long_for_excel_is_csv_in_a_folder_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("内容\n路灯不亮\n", encoding="utf-8")
    source = replace(open_table(tmp_path / "a.csv"), total=1_048_576)
    assert default_output(source, tmp_path / "x") == tmp_path / "x" / "a-打标.csv"


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
