"""Data frames, datasets and scikit-learn."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import polars
import pyarrow
import pytest
from datasets import Dataset
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from classifier import InputError, ModelError, SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.estimator import SuggestionEstimator
from classifier.spark import tagger

TEXTS = ["三路公交车等了四十分钟不来", None, "老年卡在哪儿办"]
CLASSES = ["微交通", "其他", "微养老"]
IDS = ["transport", "other", "eldercare"]


@pytest.mark.parametrize("library", [pandas, polars])
def test_tag_frame(clf: SuggestionClassifier, library: object) -> None:
    frame = library.DataFrame({"编号": [1, 2, 3], "内容": TEXTS})  # type: ignore[attr-defined]
    found = clf.tag_frame(frame, text="内容")
    assert list(found.columns)[:3] == ["编号", "内容", "类别"]
    assert list(found["类别"]) == CLASSES
    assert list(frame.columns) == ["编号", "内容"]
    with pytest.raises(InputError, match="现有的列"):
        clf.tag_frame(frame, text="正文")


@pytest.mark.parametrize("library", [pandas, polars])
def test_tag_frame_keeps_a_column_called_as_an_added_one(
    clf: SuggestionClassifier, library: object
) -> None:
    frame = library.DataFrame(  # type: ignore[attr-defined]
        {"类别": ["甲", "乙", "丙"], "内容": TEXTS, "模型": [1, 2, 3]}
    )
    found = clf.tag_frame(frame)
    assert list(found["类别"]) == ["甲", "乙", "丙"]
    assert list(found["模型"]) == [1, 2, 3]
    assert list(found["类别（打标）"]) == CLASSES
    again = clf.tag_frame(found, text="内容")
    assert list(again["类别（打标）（打标）"]) == CLASSES


@pytest.mark.parametrize("library", [pandas, polars])
def test_types_of_a_frame_without_rows(clf: SuggestionClassifier, library: object) -> None:
    whole = clf.tag_frame(library.DataFrame({"内容": TEXTS}))  # type: ignore[attr-defined]
    empty = clf.tag_frame(library.DataFrame({"内容": TEXTS})[:0])  # type: ignore[attr-defined]
    assert len(empty) == 0
    assert list(empty.dtypes) == list(whole.dtypes)
    assert dict(zip(whole.columns, map(str, whole.dtypes), strict=True))["类别"].lower() in (
        "str", "string", "object",
    )  # fmt: skip


def test_numbers_that_spark_has_changed_are_refused() -> None:
    tag = tagger("内容")
    frame = pandas.DataFrame({"内容": TEXTS[:2], "证件号": [110105194912310021, None]})
    with pytest.raises(InputError, match=r'“证件号”列.*cast\("string"\)'):
        next(tag(iter([frame])))
    for numbers in ([2**53 - 1, None], [2.0**60, 1.5], [float("inf"), None], [2**60, 1]):
        sound = pandas.DataFrame({"内容": TEXTS[:2], "数": numbers})
        assert list(next(tag(iter([sound])))["数"].dropna()) == [n for n in numbers if n]


def test_title_and_body(clf: SuggestionClassifier) -> None:
    frame = pandas.DataFrame({"标题": ["公交", None], "内容": [TEXTS[0], float("nan")]})
    assert list(clf.tag_frame(frame)["类别"]) == ["微交通", "其他"]
    for no_frame in (TEXTS, frame["标题"], polars.DataFrame({"内容": TEXTS}).lazy()):
        with pytest.raises(InputError, match="predict"):
            clf.tag_frame(no_frame)


def test_what_is_missing_in_a_frame(clf: SuggestionClassifier) -> None:
    texts = pandas.array([TEXTS[0], pandas.NA, TEXTS[2]], dtype="string")
    frame = pandas.DataFrame({"标题": pandas.array(["", pandas.NA, ""]), "内容": texts})
    assert list(clf.tag_frame(frame)["类别"]) == CLASSES
    values = [pandas.NA, pandas.NaT, np.float32("nan"), np.array(["a", "b"]), np.array([])]
    reasons = ["没有内容"] * 3 + ["不是文字"] * 2
    assert [p.reason for p in clf.predict(values)] == reasons
    assert [p.reason for p in clf.predict(frame["内容"])] == ["", "没有内容", ""]


def test_columns_of_pandas_by_place(clf: SuggestionClassifier) -> None:
    frame = pandas.DataFrame([["a", *TEXTS[:1], "b"]], columns=["备注", 1, "备注"])
    assert list(clf.tag_frame(frame, text="1")["类别"]) == CLASSES[:1]
    frame.columns = ["内容", "内容_2", "内容"]
    assert list(clf.tag_frame(frame, text="内容_2")["类别"]) == CLASSES[:1]
    frame.columns = ["备注", "内容", "内容"]
    assert list(clf.tag_frame(frame)["类别"]) == CLASSES[:1]
    assert list(clf.tag_frame(frame[:0])["类别"]) == []


@pytest.mark.parametrize("make", [list, iter, pandas.Series, polars.Series, pyarrow.array])
def test_any_iterable(clf: SuggestionClassifier, make: type) -> None:
    assert [p.primary for p in clf.predict(make(TEXTS))] == CLASSES


def test_dataset_map(clf: SuggestionClassifier) -> None:
    rows = Dataset.from_dict({"text": TEXTS})
    found = rows.map(
        lambda batch: {"label": [p.primary_id for p in clf.predict(batch["text"])]}, batched=True
    )
    assert found["label"] == IDS


def test_estimator() -> None:
    estimator = clone(SuggestionEstimator())
    assert accuracy_score(IDS, estimator.predict(TEXTS)) == 1
    assert make_pipeline(estimator).fit(TEXTS, IDS).score(TEXTS, IDS) == 1
    assert estimator.predict_proba(TEXTS).shape == (3, 13)
    assert list(estimator.classes_) == sorted(estimator.classes_)  # as scikit-learn takes it
    found = estimator.predict_proba(TEXTS)
    assert log_loss(IDS, found, labels=estimator.classes_) < 1
    assert list(estimator.classes_[found[[0, 2]].argmax(1)]) == [IDS[0], IDS[2]]


def test_a_fitted_pipeline_can_be_written_and_copied(tmp_path: Path) -> None:
    fitted = make_pipeline(SuggestionEstimator()).fit(TEXTS, IDS)
    joblib.dump(fitted, tmp_path / "一.joblib")
    assert list(joblib.load(tmp_path / "一.joblib").predict(TEXTS)) == IDS
    assert list(copy.deepcopy(fitted).predict(TEXTS)) == IDS
    assert (tmp_path / "一.joblib").stat().st_size < 100_000  # the model stays in its folder
    scores = cross_val_score(fitted, TEXTS * 2, IDS * 2, cv=2, n_jobs=2)
    assert list(scores) == [1, 1]


def test_a_copy_keeps_promise_and_taxonomy_and_is_of_the_same_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_model(), folder)
    offices = tmp_path / "taxonomy.toml"
    said = (folder / "taxonomy.toml").read_text("utf-8")
    offices.write_text(said.replace("市交通运输局", "县交通局"), encoding="utf-8")
    one = SuggestionClassifier.from_pretrained(folder, taxonomy=offices, max_error=0.05, threads=1)
    offices.unlink()
    written = pickle.dumps(one)
    again = pickle.loads(written)
    assert again.predict(TEXTS) == one.predict(TEXTS)
    assert again.predict(TEXTS)[0].office == "县交通局"
    assert (again.max_error, again.threshold) == (one.max_error, one.threshold)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace(one.model_id, "另一个"), "utf-8")
    with pytest.raises(ModelError, match="另一个"):
        pickle.loads(written)


@pytest.mark.parametrize(
    "make", [pandas.DataFrame, polars.DataFrame, lambda columns: np.array([*columns.values()]).T]
)
def test_estimator_takes_a_table_of_one_column(make: Callable[[Any], Any]) -> None:
    estimator = SuggestionEstimator()
    assert list(estimator.predict(make({"内容": TEXTS}))) == IDS
    assert estimator.predict_proba(make({"内容": TEXTS})).shape == (3, 13)


def test_names_of_columns_are_no_texts(clf: SuggestionClassifier) -> None:
    columns = {"编号": [1, 2, 3], "内容": TEXTS}
    for table in (columns, pandas.DataFrame(columns), polars.DataFrame(columns)):
        with pytest.raises(InputError, match="tag_frame"):
            clf.predict(table)
