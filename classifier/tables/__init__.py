"""Tables in and out, row by row: what an office has is Excel, CSV, JSONL or Parquet."""

from classifier.tables.columns import find_column, text_columns
from classifier.tables.opening import open_table
from classifier.tables.source import Source
from classifier.tables.target import Target, open_target
from classifier.tables.whole import older_name, remove_leftovers, write_whole

__all__ = [
    "Source",
    "Target",
    "find_column",
    "older_name",
    "open_table",
    "open_target",
    "remove_leftovers",
    "text_columns",
    "write_whole",
]
