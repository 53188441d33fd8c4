"""Data frames, datasets and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas
import polars
import pytest
from datasets import Dataset
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

from classifier import InputError, SuggestionClassifier
from classifier.estimator import SuggestionEstimator

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


@pytest.mark.parametrize("make", [list, iter, pandas.Series, polars.Series])
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
    assert list(estimator.classes_[:2]) == ["education", "health"]
