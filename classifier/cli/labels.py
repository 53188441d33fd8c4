"""The commands around labels: what to label next, and what another taxonomy would change."""

from __future__ import annotations

from pathlib import Path

import click

from classifier import SuggestionClassifier, Taxonomy
from classifier.cli.common import FILE, console, extra, told_aside, told_unread


@click.command("suggest-labels", options_metavar="[选项]")
@click.argument("pool", type=FILE, metavar="没有标的表格")
@click.option("-o", "--output", required=True, type=FILE, help="写成哪个 .xlsx。")
@click.option("--n", type=click.IntRange(1), default=100, show_default=True, help="挑几条。")
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--model", type=FILE, help="模型文件夹；不写就用正在用的那个（见 weilei models）。")
def suggest_labels(pool: Path, output: Path, n: int, text: str | None, model: Path | None) -> None:
    """挑出最值得标的建议：模型拿不准的、互不相像的。"""
    with extra("train"):
        from training import choose
    classifier = SuggestionClassifier.from_pretrained(model)
    found = choose.suggest_labels(pool, classifier, output, n=n, text=text)
    console.print(
        f"{found.of} 条里挑了 {found.chosen} 条，已写入 {output}。"
        "在“类别”列选好类，就可以用 weilei train 训练"
    )
    told_aside(found.aside)
    told_unread(f"{pool}：另外的工作表里也有建议，没有挑", found.unread)


@click.group(subcommand_metavar="diff …", options_metavar="[选项]")
def taxonomy() -> None:
    """分类表的工具。"""


@taxonomy.command("diff", options_metavar="[选项]")
@click.argument("old", type=FILE, metavar="旧.toml")
@click.argument("new", type=FILE, metavar="新.toml")
@click.option("--data", "files", multiple=True, type=FILE, help="已有的标注；可写多次。")
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--label", help="类别所在的列。")
def diff(
    old: Path, new: Path, files: tuple[Path, ...], text: str | None, label: str | None
) -> None:
    """两张分类表差在哪里，已有的标注哪些要重新定类，哪些类例子不够。"""
    with extra("train"):
        from training.taxonomy_diff import report
    for line in report(Taxonomy.load(old), Taxonomy.load(new), files, text=text, label=label):
        console.print(line)
