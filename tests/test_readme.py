"""What the README prints runs as printed, and everything public is named in it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from openpyxl import Workbook

import classifier
from classifier import SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.cli import cli
from tests.conftest import ROOT, Run

CORPUS = ROOT / "training" / "data" / "corpus.jsonl"
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


def commands(block: str) -> list[str]:
    lines = [line.split("#")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line.startswith("weilei ")]


def part(rows: list[dict[str, Any]], split: str, n: int) -> list[dict[str, Any]]:
    chosen = [r for r in rows if r["split"] == split]
    return chosen[:: len(chosen) // n]


def keep(file: Path, rows: list[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README's commands name."""
    folder = tmp_path_factory.mktemp("office")
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copy(ROOT / "examples" / "建议.xlsx", folder / "建议.xlsx")
    shutil.copytree(shipped_model(), folder / "检查点")
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    (folder / "training" / "data").mkdir(parents=True)
    # A part of the corpus: all of it takes ten minutes on an old processor.
    keep(
        folder / "training" / "data" / "corpus.jsonl",
        [*part(rows, "train", 400), *part(rows, "test", 80)],
    )
    keep(folder / "校准.jsonl", part(rows, "calibration", 200))
    workbook = Workbook()
    workbook.active.append(["内容", "类别"])
    for c, name in {"transport": "微交通", "eldercare": "微养老", "culture": "微文化"}.items():
        texts = [r["text"] for r in rows if r["primary"] == c and r["split"] == "train"]
        for text in [t for t in texts if len(t) < 50][:40]:  # short ones take less time
            workbook.active.append([text, name])
    workbook.save(folder / "标注.xlsx")
    return folder


def run_as_printed(block: str, weilei: Run, office: Path) -> dict[str, str]:
    """Command of a block → what it printed."""
    printed = {}
    for line in commands(block):
        done = weilei(*shlex.split(line)[1:], cwd=office, home=office / "home")
        assert done.returncode == 0, line + "\n" + done.stderr
        printed[line.split()[1]] = done.stdout
    return printed


def trains(block: str) -> bool:
    return any(line.startswith("weilei train") for line in commands(block))


@pytest.mark.parametrize("block", [b for b in blocks("sh") if commands(b) and not trains(b)])
def test_shell_blocks_run_as_printed(block: str, weilei: Run, office: Path) -> None:
    run_as_printed(block, weilei, office)


def test_training_runs_as_printed_and_leaves_what_it_says(weilei: Run, office: Path) -> None:
    [block] = [b for b in blocks("sh") if trains(b)]
    printed = run_as_printed(block, weilei, office)
    model, home = office / "我的模型", office / "home"
    assert "训练部分" in printed["train"]
    assert "微养老 " in printed["train"]
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["training"]["figures"]["accuracy"] > 0.8
    assert {"data", "base", "options", "libraries"} <= set(manifest["training"])
    # It has no examples of ten classes, so it is kept and written, but not taken into use.
    assert (home / "current").read_text(encoding="utf-8") == "shipped"
    report = (home / "models" / f"{manifest['id']}-报告.html").read_text(encoding="utf-8")
    for part in ("学了什么", "混淆矩阵", "可靠性", "承诺自动通道", "最可疑的标注", "现在用的 F1"):
        assert part in report
    assert not re.search(r'(src|href)="(?!#|data:)', report)  # it needs nothing else
    clf = SuggestionClassifier.from_pretrained(model)
    assert clf.predict(["三路公交车等了四十分钟不来"])[0].primary == "微交通"

    assert "准确率" in printed["evaluate"]
    assert "标注：120 条，这份标注训练过这个模型，数字偏高" in printed["evaluate"]
    found = json.loads((office / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    assert found["sets"]["标注"]["accuracy"] > 0.8
    assert (office / "evaluation" / "confusion-标注.png").stat().st_size > 5000

    exported = SuggestionClassifier.from_pretrained(office / "导出的模型")
    said = exported.predict(["小区门口的红绿灯坏了", "老年卡在哪儿办"])
    assert [p.primary for p in said] == ["微交通", "微养老"]


def test_every_public_name_and_option_is_in_the_readme() -> None:
    for name in classifier.__all__:
        assert name in README, name
    for name, command in cli.commands.items():
        assert f"weilei {name}" in README
        inner = list(command.commands.values()) if isinstance(command, click.Group) else []
        for parameter in [p for c in (command, *inner) for p in c.params]:
            if isinstance(parameter, click.Option):
                assert f"`{parameter.opts[-1]}`" in README, parameter.opts


def test_files_that_the_readme_names_exist() -> None:
    tree = blocks("text")[0]
    for path in re.findall(r"^(\S+)", tree, flags=re.MULTILINE):
        assert (ROOT / path).exists(), path
