"""Opening a table of any kind."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from classifier.errors import InputError, MissingExtra
from classifier.tables.plain import open_csv, open_jsonl
from classifier.tables.source import Cell, Source, unique_names
from classifier.tables.workbooks import open_xls, open_xlsx

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an old .xls, or an .xlsx with a password
_ZIP = b"PK\x03\x04"
_STRICT = b"http://purl.oclc.org/ooxml/"  # other names for all that is in an .xlsx


def open_table(path: str | Path, text: str | None = None) -> Source:
    """Look into a table: .xlsx .xls .csv .tsv .jsonl .parquet.

    Args:
        text: the column of the text, or ``标题,内容``, if the caller names it; it
            helps to find the header below a title.

    Raises:
        InputError: missing, locked, damaged, empty, or of another kind; the
            message says what to do.
        MissingExtra: Parquet without pyarrow.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"找不到文件 {path}，请检查文件名和所在文件夹")
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise InputError(
            f"打不开 {path}（{error.strerror}），请检查有没有权限，关闭正在使用它的程序再试"
        ) from None
    if not head:
        raise InputError(f"{path} 是空文件，里面没有建议")
    suffix = path.suffix.lower()
    if head == _OLE:
        return open_xls(path, text)
    if head.startswith(_ZIP):  # a .csv that is really an .xlsx is read as what it is
        if _is_strict(path):
            raise InputError(
                f"{path} 存成了“Strict Open XML 电子表格”，读不了。"
                "请用 Excel 打开，另存为普通的“Excel 工作簿 (*.xlsx)”再试"
            )
        return open_xlsx(path, text)
    if head[:4] == b"PAR1":
        return _open_parquet(path)
    if suffix in (".xlsx", ".xlsm", ".xls", ".et"):
        raise InputError(
            f"{path} 已损坏，不是有效的 {suffix}。请用 Excel 或 WPS 打开修复后另存再试"
        )
    if suffix == ".parquet":
        raise InputError(f"{path} 已损坏，不是有效的 Parquet，请重新导出")
    if suffix in (".csv", ".tsv", ".txt"):
        return open_csv(path, text)
    if suffix in (".jsonl", ".json"):
        return open_jsonl(path)
    raise InputError(f"不认识 {path.name} 这种文件，请用 .xlsx、.xls、.csv、.jsonl 或 .parquet")


def _is_strict(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file, file.open("xl/workbook.xml") as part:
            return _STRICT in part.read(4096)
    except Exception:  # whatever a damaged file raises, the reader tells of it
        return False


def _open_parquet(path: Path) -> Source:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtra("parquet") from None
    # Besides Arrow's own: text that is not UTF-8, a date that Python does not have.
    broken = (ArrowException, OSError, ValueError, OverflowError)
    try:
        file = parquet.ParquetFile(path)
    except broken as error:
        raise InputError(f"{path} 已损坏，不是有效的 Parquet（{type(error).__name__}）") from None
    names = unique_names(file.schema_arrow.names)
    if not file.metadata.num_rows:
        raise InputError(f"{path} 里没有行，没有建议")

    def walk() -> Iterator[list[Cell]]:
        try:
            for batch in parquet.ParquetFile(path).iter_batches(batch_size=1024):
                columns = [column.to_pylist() for column in batch.columns]
                for values in zip(*columns, strict=True):
                    yield [Cell(v) for v in values]
        except broken as error:
            raise InputError(
                f"{path} 里有读不出的值（{type(error).__name__}），请重新导出"
            ) from None

    return Source(path, "parquet", names, 1, [], file.metadata.num_rows, "Parquet", "", walk)
