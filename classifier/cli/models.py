"""The command ``models``: which models there are, and which one is in use."""

from __future__ import annotations

import click
from rich.table import Table as Grid

from classifier import registry
from classifier.bundle import Bundle
from classifier.cli.common import console


@click.group(invoke_without_command=True, options_metavar="[选项]", subcommand_metavar="[use 编号]")
@click.pass_context
def models(context: click.Context) -> None:
    """列出这台电脑上的模型，换用其中一个。"""
    if context.invoked_subcommand is None:
        _list()


def _list() -> None:
    grid = Grid("", "编号", "什么时候", "测试准确率", "说明", box=None, header_style="bold")
    for version in registry.versions():
        record = version.record
        compared = record and record["n_test"] > 1
        tested = f"{record['accuracy']:.3f}（{record['n_test']} 条）" if compared else ""
        note = "随软件带的" if version.id == registry.SHIPPED else str(record.get("note", ""))
        mark = "正在用" if version.in_use else ""
        grid.add_row(mark, version.id, str(record.get("when", ""))[:16], tested, note)
    console.print(grid)
    console.print(f"换一个：weilei models use 编号。模型放在 {registry.home() / 'models'}")


@models.command("use", options_metavar="")
@click.argument("model_id", metavar="编号")
def use(model_id: str) -> None:
    """换用一个模型；weilei models use shipped 换回随软件带的。"""
    known = {v.id: v.path for v in registry.versions()}
    if model_id in known:
        Bundle.open(known[model_id])  # a damaged one is not switched to
    version = registry.use(model_id)
    console.print(f"现在用的是 {version.id}（{version.path}）")
