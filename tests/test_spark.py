"""A real Spark on this machine: Parquet in, Parquet out, the same labels as without it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
from pyspark.sql import SparkSession

from classifier import SuggestionClassifier
from classifier.frames import ADDED_TO_FRAMES
from classifier.spark import _classifier, schema, tagger
from tests.conftest import ROOT
from training.corpus import read_items

pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java (17+)")


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    variables = pytest.MonkeyPatch()
    variables.setenv("PYSPARK_PYTHON", sys.executable)
    variables.setenv("PYTHONPATH", str(ROOT))
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "40")
        .getOrCreate()
    )
    yield session
    session.stop()
    variables.undo()


def test_parquet_in_and_out(spark: SparkSession, clf: SuggestionClassifier, tmp_path: Path) -> None:
    items = read_items(ROOT / "training" / "data" / "corpus.jsonl", clf.taxonomy)
    texts = [it.text for it in items if it.split == "test"][:200]
    before = pandas.DataFrame({"编号": range(202), "内容": [*texts, None, ""]})
    before.to_parquet(tmp_path / "建议.parquet")
    frame = spark.read.parquet(str(tmp_path / "建议.parquet")).repartition(5)
    tagged = frame.mapInPandas(tagger("内容"), schema(frame.schema))
    tagged.write.parquet(str(tmp_path / "打标"))
    after = pandas.read_parquet(tmp_path / "打标").sort_values("编号").reset_index(drop=True)
    assert list(after.columns) == ["编号", "内容", *ADDED_TO_FRAMES]
    pandas.testing.assert_frame_equal(after, clf.tag_frame(before, "内容"), check_dtype=False)


def test_a_column_called_as_an_added_one(spark: SparkSession, clf: SuggestionClassifier) -> None:
    frame = spark.createDataFrame(
        [("路灯不亮", "甲", 1.0)], "`内容` string, `类别` string, `置信度` double"
    )
    (row,) = frame.mapInPandas(tagger(), schema(frame.schema)).collect()
    assert (row["类别"], row["置信度"]) == ("甲", 1.0)
    assert row["类别（打标）"] == clf.predict(["路灯不亮"])[0].primary
    assert isinstance(row["置信度（打标）"], float)


def test_a_worker_loads_the_model_once(spark: SparkSession) -> None:
    tag = tagger()

    def loads(frames: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        for _ in tag(frames):
            yield pandas.DataFrame({"n": [_classifier.cache_info().misses]})

    frame = spark.createDataFrame(
        [(text,) for text in ["路灯不亮", "老年卡"] * 20], "`内容` string"
    )
    rows = frame.repartition(8).mapInPandas(loads, "n int").collect()
    assert {row.n for row in rows} == {1}
    assert len(rows) == 8
