"""The project's own corpus, and the reading, grouping and splitting of labelled suggestions."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from openpyxl import Workbook

from classifier import InputError, Taxonomy
from classifier.bundle import shipped_model
from classifier.duplicates import near_duplicate_groups
from tests.conftest import ROOT
from training.corpus import Item, read_items, split_by_group
from training.release import model_name

CORPUS = ROOT / "training" / "data" / "corpus.jsonl"
REGISTERS = {
    "form", "wechat", "hotline", "letter", "speech", "typo", "dialect", "rural", "terse",
}  # fmt: skip


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.load(shipped_model() / "taxonomy.toml")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def test_corpus_has_what_it_must(rows: list[dict[str, object]], taxonomy: Taxonomy) -> None:
    train = [r for r in rows if r["split"] == "train"]
    test = [r for r in rows if r["split"] == "test"]
    counts = Counter(r["primary"] for r in train)
    assert len(train) >= 2000
    assert len(test) >= 300
    assert set(counts) == set(taxonomy.ids)
    assert min(counts.values()) >= 120
    assert min(counts[c] for c in ("eldercare", "sports", "culture")) >= 250
    assert {r["writer"] for r in train}.isdisjoint({r["writer"] for r in test})
    assert {(r["primary"], r["register"]) for r in train} == {
        (c, register) for c in taxonomy.ids for register in REGISTERS
    }
    share = sum(bool(r["indirect"]) for r in train) / len(train)
    assert share >= 0.4
    assert 0.4 <= sum(r["kind"] == "s" for r in train) / len(train) <= 0.6


def test_corpus_rows_are_well_formed(rows: list[dict[str, object]], taxonomy: Taxonomy) -> None:
    fields = {
        "text", "primary", "secondary", "register", "kind", "indirect", "hard", "writer", "split",
    }  # fmt: skip
    for r in rows:
        assert set(r) == fields
        assert r["split"] in ("train", "calibration", "test")
        text = str(r["text"])
        assert text.strip()
        assert not re.search(r"1[3-9]\d{9}|\d{17}[\dXx]", text), "a number that could be real"


def test_no_near_duplicates_between_or_within_splits(rows: list[dict[str, object]]) -> None:
    groups = near_duplicate_groups([str(r["text"]) for r in rows])
    assert len(groups) - len(set(groups)) == 0


def test_split_keeps_groups_together() -> None:
    texts = [f"第{i}条，{'字' * (i % 7)}完全不同的一句话{i * 37}号" for i in range(60)]
    items = [Item(text=t, primary="other") for t in texts + texts]
    rest, held = split_by_group(items, 0.2, seed=1)
    assert len(rest) + len(held) == 120
    assert not {it.text for it in rest} & {it.text for it in held}
    assert 24 <= len(held) <= 30
    assert (rest, held) == split_by_group(items, 0.2, seed=1)


def test_a_mass_petition_takes_no_rows_of_the_next_class() -> None:
    mass = [Item(f"同一封信{i}", "cityadmin", group=0) for i in range(900)]
    others = [Item(f"城管{i}", "cityadmin", group=1 + i) for i in range(100)]
    culture = [Item(f"文化{i}", "culture", group=200 + i) for i in range(50)]
    for seed in range(5):
        rest, held = split_by_group([*mass, *others, *culture], 0.15, seed)
        assert 6 <= sum(it.primary == "culture" for it in held) <= 9
        assert sum(it.group == 0 for it in rest) == 900
        assert any(it.primary == "cityadmin" for it in held)


def test_xlsx_with_chinese_labels(tmp_path: Path, taxonomy: Taxonomy) -> None:
    workbook = Workbook()
    for row in [
        ["标题", "内容", "类别", "协办"],
        ["灯", "路灯不亮", "微城管", "微安全"],
        ["", "", "微教育", ""],
    ]:
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    (item,) = read_items(tmp_path / "a.xlsx", taxonomy)
    assert (item.primary, item.secondary, item.full_text) == (
        "cityadmin", ("safety",), "灯。路灯不亮",
    )  # fmt: skip


def test_gbk_csv(tmp_path: Path, taxonomy: Taxonomy) -> None:
    (tmp_path / "a.csv").write_bytes("诉求,标签\n路灯不亮,微城管\n".encode("gbk"))
    assert read_items(tmp_path / "a.csv", taxonomy)[0].primary == "cityadmin"


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("a.jsonl", "{broken", "第 1 行"),
        ("a.jsonl", "[1]", "第 1 行"),
        ("a.jsonl", '{"text": "x"}', "--label"),
        ("a.jsonl", "", "空文件"),
        ("a.jsonl", '{"text": "", "primary": "other"}', "没有可用的行"),
        ("a.jsonl", '{"text": "路灯不亮", "primary": "微城營"}', "最接近的是“微城管”"),
        ("a.csv", "内容,x\n路灯,y\n", "--label"),
        ("a.csv", "内容,类别,split\n路灯,微城管,train\n路灯,微城管,eval\n", "第 3 行：“eval”"),
        ("a.jsonl", '\n\n{"text": "路灯不亮", "primary": "x"}', "第 3 行"),
    ],
)
def test_bad_files(
    tmp_path: Path, taxonomy: Taxonomy, name: str, content: str, advice: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=advice):
        read_items(tmp_path / name, taxonomy)


def test_splits_as_others_call_them(tmp_path: Path, taxonomy: Taxonomy) -> None:
    rows = ["Train", "validation", "VAL", "valid", " Test ", ""]
    (tmp_path / "a.csv").write_text(
        "内容,类别,split\n" + "".join(f"路灯{i},微城管,{s}\n" for i, s in enumerate(rows)),
        encoding="utf-8",
    )
    found = [it.split for it in read_items(tmp_path / "a.csv", taxonomy)]
    assert found == ["train", "dev", "dev", "dev", "test", ""]


def test_labels_without_a_text_are_said(tmp_path: Path, taxonomy: Taxonomy) -> None:
    workbook = Workbook()
    for row in (["内容", "类别"], ["路灯不亮", "微城管"], [None, "微安全"], [None, None]):
        workbook.active.append(row)
    workbook.active.merge_cells("A2:A3")
    workbook.save(tmp_path / "a.xlsx")
    said: list[str] = []
    assert len(read_items(tmp_path / "a.xlsx", taxonomy, say=said.append)) == 1
    assert "1 行有类别、没有正文（合并的单元格" in said[-1]
    assert "第 3 行" in said[-1]


def test_texts_of_pictures_only_are_said(tmp_path: Path, taxonomy: Taxonomy) -> None:
    path = tmp_path / "a.csv"
    path.write_text("内容,类别\n路灯不亮,微城管\n😀👍,微城管\n", encoding="utf-8")
    said: list[str] = []
    assert len(read_items(path, taxonomy, say=said.append)) == 1
    assert said[1:] == ["  另有 1 行有类别、正文没有一个字或数字（例如只有表情），没有用：第 3 行"]


def test_a_name_that_is_no_text(tmp_path: Path, taxonomy: Taxonomy) -> None:
    """Archives packed on Windows leave GBK names on Linux; a report cannot hold them."""
    file = tmp_path / os.fsdecode("标注.csv".encode("gbk"))
    file.write_text("内容,类别\n路灯不亮,微城管\n", encoding="utf-8")
    (item,) = read_items(file, taxonomy)
    assert f"{item.where}{item.source}".encode()
    assert model_name(file.stem).encode()
    assert model_name("标" * 80) == "标" * 60


def test_not_a_number_is_empty(tmp_path: Path, taxonomy: Taxonomy) -> None:
    rows = '{"text": NaN, "label": "微交通"}\n{"text": "路灯不亮", "label": NaN}\n'
    (tmp_path / "a.jsonl").write_text(rows, encoding="utf-8")
    with pytest.raises(InputError, match=r"有 1 行[^:]*：\n  第 2 行：没有写类别"):
        read_items(tmp_path / "a.jsonl", taxonomy)


def test_odd_co_handling_is_left_out(tmp_path: Path, taxonomy: Taxonomy) -> None:
    row = '{"text": "路灯不亮", "primary": "cityadmin", "secondary": [5, null, "safety"]}'
    (tmp_path / "a.jsonl").write_text(row, encoding="utf-8")
    assert read_items(tmp_path / "a.jsonl", taxonomy)[0].secondary == ("safety",)


def test_what_was_not_read_is_said(tmp_path: Path, taxonomy: Taxonomy) -> None:
    workbook = Workbook()
    workbook.active.title = "一月"
    for name in ("一月", "二月"):
        sheet = workbook[name] if name in workbook else workbook.create_sheet(name)
        for row in (["内容", "类别"], ["路灯不亮", "微城管"]):
            sheet.append(row)
    workbook.save(tmp_path / "a.xlsx")
    said: list[str] = []
    read_items(tmp_path / "a.xlsx", taxonomy, say=said.append)
    (line,) = said
    assert "a.xlsx：1 条（读的是工作表“一月”，没有读：二月）" in line


def test_a_workbook_to_label_may_be_half_done(tmp_path: Path, taxonomy: Taxonomy) -> None:
    (tmp_path / "a.csv").write_text(
        "类别,内容,原来的行号\n微城管,路灯不亮,7\n,公交太少,9\n,没书看,12\n", encoding="utf-8"
    )
    said: list[str] = []
    assert len(read_items(tmp_path / "a.csv", taxonomy, say=said.append)) == 1
    assert "2 行还没有标类别" in said[-1]


def test_a_formula_without_a_result_is_no_text(tmp_path: Path, taxonomy: Taxonomy) -> None:
    workbook = Workbook()
    for row in [["内容", "类别"], ["路灯不亮", "微城管"], ["=B2&B3", "微交通"]]:
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    said: list[str] = []
    (item,) = read_items(tmp_path / "a.xlsx", taxonomy, say=said.append)
    assert item.text == "路灯不亮"
    assert "公式" in said[-1]
    assert said[-1].endswith("第 3 行")
    workbook.active.delete_rows(2)
    workbook.save(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match="公式"):
        read_items(tmp_path / "a.xlsx", taxonomy)
