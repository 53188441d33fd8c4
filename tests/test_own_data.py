"""An office's own table: what is read, shown, refused; how it is split."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from openpyxl import Workbook
from transformers import AutoTokenizer

from classifier import InputError, SuggestionClassifier, Taxonomy
from classifier.bundle import shipped_model
from tests.conftest import ROOT
from training import data_check
from training.corpus import Item, described, read_items, split_by_group
from training.data_check import Parts, missing_warning, read_parts
from training.learn import _words
from training.measure import export_checkpoint, measure
from training.train import Recipe, to_dataset

LINES = (ROOT / "training" / "data" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
TEXTS = [json.loads(line)["text"] for line in LINES[:90]]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.load(shipped_model() / "taxonomy.toml")


def parts_of(
    tmp_path: Path, rows: list[tuple[object, object]], taxonomy: Taxonomy, **options: bool
) -> tuple[Parts, str]:
    workbook = Workbook()
    workbook.active.append(["内容", "类别"])
    for row in rows:
        workbook.active.append(row)
    workbook.save(tmp_path / "标注.xlsx")
    lines: list[str] = []
    parts = read_parts(
        [tmp_path / "标注.xlsx"], taxonomy, say=lines.append, seed=1, validation_share=0.06,
        **options,
    )  # fmt: skip
    return parts, "\n".join(lines)


GOOD = [(t, "微交通" if i % 2 else "微文化") for i, t in enumerate(TEXTS)]


@pytest.mark.parametrize("few", [0, data_check.FEW])
def test_what_was_read_is_shown_and_split_by_group(
    tmp_path: Path, taxonomy: Taxonomy, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_check, "FEW", few)
    parts, shown = parts_of(tmp_path, [*GOOD, GOOD[0], GOOD[1]], taxonomy)
    assert "共 92 条，2 类，完全重复 2 条" in shown
    assert "字数中位数" in shown
    assert "微安全、微居住、微养老、微政务、微城管、其他一个例子也没有，新模型认不出" in shown
    everywhere = [parts.train, parts.validation, parts.calibration, parts.test]
    assert sum(map(len, everywhere)) == 92
    # Of few labels only the test part is set aside.
    assert [bool(part) for part in everywhere] == [True, not few, not few, True]
    groups = [{it.group for it in part} for part in everywhere]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert {it.primary for it in parts.test} == {"transport", "culture"}


def test_same_text_with_two_classes_is_listed_and_left_out(
    tmp_path: Path, taxonomy: Taxonomy
) -> None:
    parts, shown = parts_of(tmp_path, [*GOOD, (f" {TEXTS[0]}　", "微交通")], taxonomy)
    assert "标注.xlsx 第 2 行 微文化" in shown
    assert "标注.xlsx 第 92 行 微交通" in shown
    assert TEXTS[0] not in shown
    assert TEXTS[0] not in {it.text for it in parts.known + parts.calibration + parts.test}


@pytest.mark.parametrize(
    ("rows", "advice"),
    [
        ([(t, "微交通") for t in TEXTS], "只有一个类别"),
        ([(TEXTS[0], "微交通")] * 40 + [(TEXTS[1], "微文化")] * 40, "重复"),
        (
            [
                *GOOD,
                *[(f"{t}吗", "微教育") for t in ("校车", "作业", "补课", "食堂", "操场")],
                *[(f"{t}吗", "其他") for t in ("你好", "在不在", "谢谢")],
            ],
            "其他 3 条。请补几条，或加 --merge-rare",
        ),
        (
            [*GOOD, *[(f"{t}吗", "其他") for t in ("你好", "在不在", "谢谢")]],
            "其他 3 条。请补几条，或去掉这些行",
        ),
        ([], "只有表头"),
        ([*GOOD, ("校车太少", None)], "合并的单元格"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    tmp_path: Path, taxonomy: Taxonomy, rows: list[tuple[object, object]], advice: str
) -> None:
    with pytest.raises(InputError, match=advice):
        parts_of(tmp_path, rows, taxonomy)


def test_rare_classes_can_be_merged(tmp_path: Path, taxonomy: Taxonomy) -> None:
    rare = [
        (f"{t}应该怎么办理才好", "微教育") for t in ("校车接送", "寒假作业", "午间托管", "食堂饭菜")
    ]
    rare += [(f"{t}请问在哪里可以看到", "微医疗") for t in ("疫苗", "挂号", "体检", "急救", "药房")]
    parts, shown = parts_of(tmp_path, [*GOOD, *rare], taxonomy, merge_rare=True)
    assert "并入“其他”：微教育（4 条）、微医疗（5 条）" in shown
    assert {it.primary for it in parts.known} == {"transport", "culture", "other"}


def test_rows_marked_test_are_kept_for_the_comparison(tmp_path: Path, taxonomy: Taxonomy) -> None:
    lines = ["内容,类别,split"]
    lines += [f"{t},{c},{'dev' if i < 10 else ''}" for i, (t, c) in enumerate(GOOD)]
    lines.append(f"{TEXTS[50]},微文化,test")  # its twin is in training
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode("gb18030"))
    shown: list[str] = []
    parts = read_parts(
        [tmp_path / "a.csv", tmp_path / "a.csv"], taxonomy, say=shown.append, seed=1,
        validation_share=0.06,
    )  # fmt: skip
    assert {it.text for it in parts.test} == set(TEXTS[:10])
    assert any("近乎重复，不用来比较" in line for line in shown)
    once = {it.where for it in parts.train}
    assert len(parts.train) == 2 * len(once)  # a file named twice counts twice in training


def test_marks_of_a_table_are_words(tmp_path: Path, taxonomy: Taxonomy) -> None:
    lines = ["内容,类别,hard,indirect", "路灯不亮,微城管,False,0", "公交不来,微交通,TRUE,是"]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    items = read_items(tmp_path / "a.csv", taxonomy)
    assert [(it.hard, it.indirect) for it in items] == [(False, False), (True, True)]


def test_calibration_rows_are_unlike_the_training_rows(tmp_path: Path, taxonomy: Taxonomy) -> None:
    marked = [(t, c, "calibration" if i < 20 else "") for i, (t, c) in enumerate(GOOD)]
    marked += [(f"{t}！", c, "calibration") for t, c in GOOD[40:43]]  # their twins are learned from
    lines = ["内容,类别,split", *[",".join(row) for row in marked]]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    shown: list[str] = []
    parts = read_parts(
        [tmp_path / "a.csv"], taxonomy, say=shown.append, seed=1, validation_share=0.06
    )  # fmt: skip
    assert {it.text for it in parts.calibration} == set(TEXTS[:20])
    assert "校准行里有 3 条和训练的近乎重复，不用来校准" in shown


def test_calibration_rows_may_be_none_but_not_few(tmp_path: Path, taxonomy: Taxonomy) -> None:
    marked = [(t, c, "calibration" if i < 5 else "") for i, (t, c) in enumerate(GOOD)]
    lines = ["内容,类别,split", *[",".join(row) for row in marked]]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="请多标几行 calibration，或都不标"):
        read_parts([tmp_path / "a.csv"], taxonomy, say=print, seed=1, validation_share=0.06)


@pytest.mark.parametrize("split", ["calibration", "test"])
def test_nothing_marked_to_learn_from(tmp_path: Path, taxonomy: Taxonomy, split: str) -> None:
    lines = ["内容,类别,split", *[f"{t},{c},{split}" for t, c in GOOD]]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="没有可以用来训练的行"):
        read_parts(
            [tmp_path / "a.csv"], taxonomy, say=print, seed=1, validation_share=0.06
        )  # fmt: skip


def test_parquet_and_saved_datasets(tmp_path: Path, taxonomy: Taxonomy) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["微交通", "微文化"])})
    rows = {"text": ["公交太少", "没书看"], "label": [0, 1]}
    saved = Dataset.from_dict(rows, features=features)
    DatasetDict(train=saved, test=saved).save_to_disk(str(tmp_path / "存的"))
    found = read_items(tmp_path / "存的", taxonomy)
    assert [(it.primary, it.split) for it in found] == [
        ("transport", "train"), ("culture", "train"), ("transport", "test"), ("culture", "test"),
    ]  # fmt: skip
    Dataset.from_dict({"text": ["公交太少"], "label": ["微交通"]}).to_parquet(
        str(tmp_path / "a.parquet")
    )
    assert read_items(tmp_path / "a.parquet", taxonomy)[0].primary == "transport"
    rows["label"] = [0, -1]  # as datasets mark what has no label
    Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "没标完"))
    with pytest.raises(InputError, match="第 2 行：没有写类别"):
        read_items(tmp_path / "没标完", taxonomy)
    (tmp_path / "空的").mkdir()
    with pytest.raises(InputError, match="save_to_disk"):
        read_items(tmp_path / "空的", taxonomy)


def test_too_many_rows_are_refused_before_reading(
    tmp_path: Path, taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.corpus.MOST_ROWS", 2)
    (tmp_path / "a.csv").write_text("内容,类别\n" + "路灯,微城管\n" * 3, encoding="utf-8")
    with pytest.raises(InputError, match="抽取一部分"):
        read_items(tmp_path / "a.csv", taxonomy)
    for name in ("b.csv", "c.csv"):
        (tmp_path / name).write_text("内容,类别\n路灯,微城管\n公交,微交通\n", encoding="utf-8")
    monkeypatch.setattr("training.data_check.MOST_ROWS", 2)
    with pytest.raises(InputError, match="这 2 个文件一共 有 4 行"):
        read_parts(
            [tmp_path / "b.csv", tmp_path / "c.csv"], taxonomy, say=print, seed=1,
            validation_share=0.06,
        )  # fmt: skip


def test_a_merged_class_is_neither_missing_nor_taught_by_its_words(
    tmp_path: Path, taxonomy: Taxonomy
) -> None:
    two = Taxonomy(
        taxonomy.name,
        tuple(c for c in taxonomy if c.id in ("transport", "culture", "health", "sports", "other")),
        "other",
    )
    rare = [(f"{t}请问在哪里可以看到", "微医疗") for t in ("疫苗", "挂号", "体检", "急救", "药房")]
    rare += [(f"{t}应该怎么办理才好", "微体育") for t in ("游泳卡", "球场预约", "马拉松")]
    parts, _ = parts_of(tmp_path, [*GOOD, *rare], two, merge_rare=True)
    assert parts.merged == {"health", "sports"}
    assert missing_warning(parts, two) == ""
    assert {it.primary for it in _words(parts, two)} <= {"transport", "culture", "other"}


def test_what_is_measured_is_not_taught_as_the_words_of_a_class(taxonomy: Taxonomy) -> None:
    item = Item("招生入学与学区", "education")
    assert item.text in {it.text for it in _words(Parts([item], [], [], []), taxonomy)}
    assert item.text not in {it.text for it in _words(Parts([item], [], [], [item]), taxonomy)}


def test_test_rows_that_are_all_copies_leave_something_to_compare_on(
    tmp_path: Path, taxonomy: Taxonomy
) -> None:
    lines = ["内容,类别,split", *(f"{t},{c}," for t, c in GOOD)]
    lines += [f"{t},{c},test" for t, c in GOOD[:3]]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    parts = read_parts(
        [tmp_path / "a.csv"], taxonomy, say=lambda _: None, seed=1, validation_share=0.06
    )  # fmt: skip
    assert parts.test


def test_a_table_without_co_handling_says_nothing_of_it(tmp_path: Path, taxonomy: Taxonomy) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shipped_model())
    for head, known in (("内容,类别", False), ("内容,类别,协办", True)):
        (tmp_path / "a.csv").write_text(f"{head}\n路灯不亮,微城管\n", encoding="utf-8")
        items = read_items(tmp_path / "a.csv", taxonomy)
        [row] = to_dataset(items, taxonomy, tokenizer, Recipe())
        assert set(row["secondary"]) == {0.0 if known else -1.0}


def test_the_words_of_the_classes_are_examples(taxonomy: Taxonomy) -> None:
    found = described(taxonomy)
    assert {it.primary for it in found} == set(taxonomy.ids)
    texts = [it.text for it in found if it.primary == "education"]
    assert texts[:3] == ["微教育", "托育、幼儿园、中小学、职校、高校", "招生入学与学区"]


def test_the_split_hardly_changes_when_rows_are_added() -> None:
    items = [Item(t, "other", group=i) for i, t in enumerate(TEXTS)]
    _, before = split_by_group(items[:60], 0.2, seed=1)
    _, after = split_by_group([replace(it) for it in reversed(items)], 0.2, seed=1)
    old, kept = {it.text for it in before}, {it.text for it in after}
    assert len(old & kept) >= 0.6 * len(old)


def test_files_of_one_name_are_measured_apart(tmp_path: Path, clf: SuggestionClassifier) -> None:
    files = [tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv"]
    for n, file in enumerate(files, 2):
        file.parent.mkdir()
        rows = "路灯不亮很久了,微城管\n公交车太少了,微交通\n老年卡怎么办,微养老\n".splitlines()[:n]
        file.write_text("\n".join(["内容,类别", *rows]), encoding="utf-8")
    said: list[str] = []
    report = measure([*files, files[0]], clf.bundle.path, tmp_path / "出", say=said.append)
    assert {name: found["n"] for name, found in report["sets"].items()} == {"x": 2, "x-2": 3}
    assert (tmp_path / "出" / "confusion-x-2.png").is_file()
    assert f"{files[1]}：3 条（编码 UTF-8）" in said
    assert "\n== x：2 条" in said  # nothing tells whether they were learned from
    with pytest.raises(InputError, match="写不了文件夹"):
        measure(files, clf.bundle.path, files[0], say=said.append)


def test_labels_the_measured_model_has_not(tmp_path: Path, clf: SuggestionClassifier) -> None:
    file = tmp_path / "a.csv"
    file.write_text("内容,类别\n路灯不亮很久了,微路灯\n", encoding="utf-8")
    with pytest.raises(InputError, match="--model") as caught:
        measure([file], clf.bundle.path, tmp_path / "出", say=lambda line: None)
    assert "--taxonomy" not in str(caught.value)  # which the command does not have


def test_what_cannot_be_written_is_said(
    tmp_path: Path, clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "a.csv"
    file.write_text("内容,类别\n路灯不亮很久了,微城管\n", encoding="utf-8")
    monkeypatch.setattr("training.measure.evaluate", full)
    monkeypatch.setattr("training.measure.release", full)
    with pytest.raises(InputError, match="磁盘是否已满"):
        measure([file], clf.bundle.path, tmp_path / "出", say=lambda line: None)
    with pytest.raises(InputError, match="磁盘是否已满"):
        export_checkpoint(clf.bundle.path, tmp_path / "m", files=[file], say=lambda line: None)
