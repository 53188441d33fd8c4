"""What people corrected, collected from workbooks as they come back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from classifier import InputError, SuggestionClassifier
from classifier.corrections import collect
from classifier.tagging import tag_file
from tests.conftest import Run


def tagged(
    tmp_path: Path,
    clf: SuggestionClassifier,
    suffix: str = ".xlsx",
    masked: tuple[str, ...] | None = None,
) -> Path:
    """A table tagged by another column than the one that would be recognised."""
    source = tmp_path / "a.csv"
    rows = "内容,详细描述\n来电,三路公交车等了四十分钟不来\n来信,老年卡在哪儿办，电话13812345678\n"
    source.write_text(rows, encoding="utf-8")
    output = tmp_path / f"b{suffix}"
    tag_file(source, clf, output=output, text="详细描述", masked=masked)
    return output


def correct(path: Path, *, without: str = "") -> Path:
    """The first row of a workbook corrected, and perhaps a sheet removed."""
    book = load_workbook(path)
    sheet = book.worksheets[0]
    sheet.cell(2, [c.value for c in sheet[1]].index("类别") + 1).value = "微安全"
    if without:
        del book[without]
    book.save(path)
    return path


def texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]


def test_the_text_is_the_one_that_was_tagged(tmp_path: Path, clf: SuggestionClassifier) -> None:
    path, output = tagged(tmp_path, clf), tmp_path / "改.jsonl"
    book = load_workbook(path)
    assert ("正文取自", "详细描述") in [row[:2] for row in book["汇总"].iter_rows(values_only=True)]
    assert collect([correct(path)], clf.taxonomy, output)[:2] == (1, 2)
    assert texts(output) == ["三路公交车等了四十分钟不来"]
    collect([path], clf.taxonomy, output, text="内容")
    assert texts(output) == ["来电"]


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_another_text_than_the_tagged_one_is_refused(
    tmp_path: Path, clf: SuggestionClassifier, suffix: str
) -> None:
    path, output = tagged(tmp_path, clf, suffix), tmp_path / "改.jsonl"
    if suffix == ".csv":
        path.write_text(path.read_text("utf-8-sig").replace("微交通", "微安全", 1), "utf-8")
    else:
        correct(path, without="汇总")
    with pytest.raises(InputError, match=r"“内容”列里没有“依据”列的话.*--text"):
        collect([path], clf.taxonomy, output)
    assert not output.exists()
    assert collect([path], clf.taxonomy, output, text="详细描述").corrected == 1


def test_what_was_masked_may_differ(tmp_path: Path, clf: SuggestionClassifier) -> None:
    path = tagged(tmp_path, clf, masked=())
    book = load_workbook(path)
    sheet = book.worksheets[0]
    header = [c.value for c in sheet[1]]
    sheet.cell(3, header.index("类别") + 1).value = "微安全"
    sheet.cell(3, header.index("依据") + 1).value = "电话〔手机号〕"
    del book["汇总"]
    book.save(path)
    assert collect([path], clf.taxonomy, tmp_path / "改.jsonl").corrected == 1


def test_sheets_that_are_not_read_are_told(
    weilei: Run, tmp_path: Path, clf: SuggestionClassifier
) -> None:
    path = correct(tagged(tmp_path, clf))
    book = load_workbook(path)
    book.copy_worksheet(book.worksheets[0]).title = "小王改的"
    book.save(path)
    done = weilei("corrections", path, "-o", tmp_path / "改.jsonl")
    assert done.returncode == 5, done.stderr
    assert "没有看" in done.stdout
    assert "小王改的" in done.stdout


def test_what_stood_there_is_put_aside(
    weilei: Run, tmp_path: Path, clf: SuggestionClassifier
) -> None:
    path, output = correct(tagged(tmp_path, clf)), tmp_path / "标注.jsonl"
    output.write_text('{"text": "自己标的"}\n', encoding="utf-8")
    before = set(tmp_path.iterdir())
    done = weilei("corrections", path, "-o", output)
    assert done.returncode == 0, done.stderr
    (aside,) = set(tmp_path.iterdir()) - before
    assert aside.name in done.stdout.replace("\n", "")
    assert aside.name.startswith("标注-旧")
    assert texts(aside) == ["自己标的"]
    assert collect([path], clf.taxonomy, output).aside is None  # the same again


def test_a_workbook_of_labels_is_put_aside(weilei: Run, tmp_path: Path) -> None:
    workbook = Workbook()
    for title in ("一月", "二月"):
        sheet = workbook.active if title == "一月" else workbook.create_sheet()
        sheet.title = title
        for row in (["内容"], ["三路公交车等了四十分钟不来"], ["老年卡在哪儿办"]):
            sheet.append(row)
    workbook.save(tmp_path / "池.xlsx")
    output = tmp_path / "待标.xlsx"
    command = ("suggest-labels", tmp_path / "池.xlsx", "--n", "2", "-o", output)
    done = weilei(*command)
    assert done.returncode == 5, done.stderr
    assert "另外的工作表里也有建议，没有挑：二月" in done.stdout.replace("\n", "")
    assert "改名" not in weilei(*command).stdout  # nobody has filled it in
    book = load_workbook(output)
    book["待标"]["A2"] = "微交通"
    book.save(output)
    filled, before = output.read_bytes(), set(tmp_path.iterdir())
    done = weilei(*command)
    (aside,) = set(tmp_path.iterdir()) - before
    assert aside.read_bytes() == filled
    assert aside.name in done.stdout.replace("\n", "")
