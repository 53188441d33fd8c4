"""What the README prints runs as printed, and everything public is named in it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import classifier
from classifier.cli import cli
from tests.conftest import ROOT, Run

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_two_commands_come_first() -> None:
    first = blocks("sh")[0]
    assert first.split("\n")[0].startswith("make tag")
    assert "make test" in first


@pytest.mark.parametrize("code", blocks("python"), ids=lambda c: c.split("\n")[0])
def test_python_blocks(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], capture_output=True, text=True,
        encoding="utf-8", cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = [line[2:] for line in code.splitlines() if line.startswith("# ")]
    assert done.stdout.split() == " ".join(shown).split()


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.startswith("weilei ")]


@pytest.mark.parametrize("line", [c for c in commands() if c.split()[1] in ("tag", "info")])
def test_shell_lines_run(line: str, weilei: Run) -> None:
    done = weilei(*shlex.split(line)[1:], cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", commands())
def test_shell_lines_name_real_options_and_files(line: str) -> None:
    words = shlex.split(line)[1:]
    command = cli.commands[words[0]]
    known = {o for p in command.params for o in p.opts}
    assert {w for w in words if w.startswith("-")} <= known | {"-h", "--help"}


def test_every_public_name_and_option_is_in_the_readme() -> None:
    for name in classifier.__all__:
        assert name in README, name
    for name, command in cli.commands.items():
        assert f"weilei {name}" in README
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert f"`{parameter.opts[-1]}`" in README, parameter.opts


def test_files_that_the_readme_names_exist() -> None:
    tree = blocks("text")[0]
    for path in re.findall(r"^(\S+)", tree, flags=re.MULTILINE):
        assert (ROOT / path).exists(), path
