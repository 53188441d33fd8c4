"""What all commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from classifier.errors import ROWS_TO_CHECK, InputError, MissingExtra

FILE = click.Path(path_type=Path)
# What citizens write may hold brackets and colons; they are text, not markup.
console = Console(highlight=False, markup=False, emoji=False)


def told_aside(aside: Path | None) -> None:
    """Say where a file that was there has gone, if it has."""
    if aside:
        console.print(f"那里原来的文件和这次的不同（也许有人改过），改名为 {aside.name}")


def told_unread(said: str, sheets: Sequence[str]) -> None:
    """Name the sheets that were not read, if there are any, and end with the code that says so."""
    if sheets:
        console.print(f"{said}：{'、'.join(sheets)}。请另存成单独的文件")
        click.get_current_context().exit(ROWS_TO_CHECK)


class extra:
    """Turns a missing optional package into an error that names the pip command."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ModuleNotFoundError):
            raise MissingExtra(self.name) from error


def without_locks(
    context: click.Context, parameter: click.Parameter, files: tuple[Path, ...]
) -> tuple[Path, ...]:
    """Files as named, without those that Excel keeps beside open ones and ``*.xlsx`` matches, too.

    Raises:
        InputError: no other file is named.
    """
    found = tuple(path for path in files if not path.name.startswith("~$"))
    if not found:
        raise InputError(f"{files[0]} 是 Excel 打开文件时的临时文件，请选原来的文件")
    return found
