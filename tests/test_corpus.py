"""The project's own corpus, and the reading, grouping and splitting of labelled suggestions."""

from __future__ import annotations

import json
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
    ],
)
def test_bad_files(
    tmp_path: Path, taxonomy: Taxonomy, name: str, content: str, advice: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=advice):
        read_items(tmp_path / name, taxonomy)
