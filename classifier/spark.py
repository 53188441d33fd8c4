"""Ten million suggestions on a cluster: a function for Spark's ``mapInPandas``.

::

    df = spark.read.parquet("建议")
    df.mapInPandas(tagger("内容"), schema(df.schema)).write.parquet("建议-打标")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.classifier import SuggestionClassifier
from classifier.errors import InputError, MissingExtra
from classifier.frames import ADDED_TO_FRAMES
from classifier.tables.target import PROBABILITY, added_names

if TYPE_CHECKING:
    import pandas

try:
    from pyspark import TaskContext
    from pyspark.sql.types import DoubleType, StringType, StructField, StructType
except ImportError:
    raise MissingExtra("spark") from None

_EXACT = 2**53  # whole numbers from here on lose digits as floats


def tagger(
    text: str | None = None, model: str | Path | None = None
) -> Callable[[Iterator[pandas.DataFrame]], Iterator[pandas.DataFrame]]:
    """What :meth:`SuggestionClassifier.tag_frame` does, for ``DataFrame.mapInPandas``.

    A Python worker loads the model once and keeps it from task to task; each
    uses as many threads as Spark gives its task (``spark.task.cpus``).

    Args:
        text: the column of the text, or ``标题,内容``; by default recognised by name.
        model: a model folder that every worker can read; by default the shipped one.

    Raises:
        InputError: in the worker, for a column of large whole numbers of which some are
            missing; such a column has to be cast to string first.
    """

    def tag(frames: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        task = TaskContext.get()
        classifier = _classifier(model, task.cpus() if task else None)
        for frame in frames:
            _check_whole_numbers(frame)
            yield classifier.tag_frame(frame, text)

    return tag


def _check_whole_numbers(frame: pandas.DataFrame) -> None:
    """Refuse a frame in which Spark may have changed whole numbers without a word.

    A column of whole numbers of which some are missing comes from Spark as
    floats, so that an ID number loses its last digits.
    """
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if column.dtype != "float64" or not column.isna().any():
            continue
        if ((column.abs() >= _EXACT) & (column.abs() != math.inf)).any():
            raise InputError(
                f"“{name}”列有空值，又有超过 2 的 53 次方的整数，Spark 交过来时后几位已经变了。"
                f'请先转成文字：df.withColumn("{name}", df["{name}"].cast("string"))'
            )


def schema(before: StructType) -> StructType:
    """Columns of a tagged table: those of `before`, then the added ones."""
    names = added_names(before.names, ADDED_TO_FRAMES)
    added = [
        StructField(name, DoubleType() if usual == PROBABILITY else StringType())
        for name, usual in zip(names, ADDED_TO_FRAMES, strict=True)
    ]
    return StructType([*before.fields, *added])


@cache
def _classifier(model: str | Path | None, threads: int | None) -> SuggestionClassifier:
    return SuggestionClassifier.from_pretrained(model, threads=threads)
