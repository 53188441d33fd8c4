"""What to label next, and what another taxonomy changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook
from xlsxwriter.exceptions import FileCreateError

from classifier import InputError, SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.duplicates import near_duplicate_groups
from tests.conftest import ROOT, Run
from training.choose import choose, read_pool, suggest_labels

EXAMPLES = ROOT / "examples" / "建议.xlsx"
LINES = (ROOT / "training" / "data" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
TEXTS = [row["text"] for row in map(json.loads, LINES) if row["split"] == "test"][:120]


def test_chosen_are_unsure_and_no_copies(clf: SuggestionClassifier) -> None:
    pool = [*TEXTS, *[f"{t}。" for t in TEXTS], "", "hello world", "1234567"]
    chosen = choose(pool, clf, 10)
    assert len(set(chosen)) == 10
    assert len(set(near_duplicate_groups([pool[i] for i in chosen]))) == 10
    assert max(chosen) < len(TEXTS)
    p = clf.predict_proba(pool).max(1)
    assert p[chosen].mean() < p[: len(TEXTS)].mean()
    assert chosen == choose(pool, clf, 10)
    assert len(choose(pool, clf, 1000)) == len(set(near_duplicate_groups(TEXTS)))


def test_workbook_to_label(weilei: Run, tmp_path: Path) -> None:
    workbook = Workbook()
    workbook.active.append(["编号", "内容", "类别"])
    for i, text in enumerate(TEXTS[:30]):
        workbook.active.append([i, text, "微交通" if i == 0 else None])
    workbook.active.append([99, "=路灯晚上一直不亮，走路看不见", None])
    workbook.save(tmp_path / "池.xlsx")
    done = weilei("suggest-labels", tmp_path / "池.xlsx", "--n", "5", "-o", tmp_path / "待标.xlsx")
    assert done.returncode == 0, done.stderr
    assert "30 条里挑了 5 条" in done.stdout
    book = load_workbook(tmp_path / "待标.xlsx")
    sheet = book["待标"]
    assert [c.value for c in sheet[1]] == ["类别", "编号", "内容", "原来的行号"]
    assert sheet.max_row == 6
    for row in sheet.iter_rows(min_row=2, values_only=True):
        assert row[0] is None
        assert row[3] == int(row[1]) + 2 or row[1] == "99"
    (rule,) = sheet.data_validations.dataValidation
    assert str(rule.sqref) == "A2:A6"
    names = [row[0] for row in book["类别表"].iter_rows(values_only=True)]
    assert names == SuggestionClassifier.from_pretrained().taxonomy.names


def test_nothing_to_choose_from(clf: SuggestionClassifier, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("内容,类别\n路灯不亮,微城管\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"没有要标的.*1 行的“类别”列已经写了"):
        suggest_labels(tmp_path / "a.csv", clf, tmp_path / "b.xlsx")
    shutil.copy(EXAMPLES, tmp_path / "c.xlsx")
    with pytest.raises(InputError, match="输入文件"):
        suggest_labels(tmp_path / "c.xlsx", clf, tmp_path / "没有" / ".." / "c.xlsx")
    (tmp_path / "c.xlsx").unlink()
    with pytest.raises(InputError, match="下拉框"):
        suggest_labels(tmp_path / "a.csv", clf, tmp_path / "b.csv")
    with pytest.raises(InputError, match=r"没有.* 不存在"):
        suggest_labels(tmp_path / "a.csv", clf, tmp_path / "没有" / "b.xlsx")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_rows_of_the_pool_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "甲"}\n\n{"text": "乙"}\n', encoding="utf-8")
    assert read_pool(tmp_path / "a.jsonl", None).numbers == [1, 3]


def test_taxonomy_diff(weilei: Run, tmp_path: Path) -> None:
    text = (shipped_model() / "taxonomy.toml").read_text(encoding="utf-8")
    old, new = tmp_path / "旧.toml", tmp_path / "新.toml"
    old.write_text(text, encoding="utf-8")
    text = text.replace('id = "sports"\nname = "微体育"', 'id = "parks"\nname = "微公园"')
    text = text.replace('name = "微养老"', 'name = "微银龄"').replace('"托育、', '"托儿所、')
    new.write_text(text, encoding="utf-8")
    (tmp_path / "标注.csv").write_text(
        "内容,类别\n篮球场晚上不开灯,微体育\n老年卡怎么办,微养老\n老人食堂太远,微银龄\n公园里没有厕所,微公园\n",
        encoding="utf-8",
    )
    done = weilei("taxonomy", "diff", old, new, "--data", tmp_path / "标注.csv")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.replace("\n", "")
    assert "新增 微公园；去掉 微体育" in shown
    assert "改名：微养老（eldercare）→ 微银龄（eldercare）" in shown
    assert "说明改了：微教育" in shown
    assert "3 条不用动，1 条要重新定类" in shown
    assert "微体育 1 条" in shown
    assert "标注.csv 第 2 行" in shown
    assert "微银龄 2 条" in shown


def test_a_full_disk_is_said(
    tmp_path: Path, clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FileCreateError(OSError(28, "No space left on device"))

    (tmp_path / "a.csv").write_text("内容\n路灯不亮很久了\n公交车太少了\n", encoding="utf-8")
    monkeypatch.setattr("xlsxwriter.Workbook.close", full)
    with pytest.raises(InputError, match="磁盘是否已满"):
        suggest_labels(tmp_path / "a.csv", clf, tmp_path / "b.xlsx", n=2)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
