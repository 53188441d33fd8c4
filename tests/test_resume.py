"""A training that is killed and started again ends like one that was left alone."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.numpy import load_file
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from classifier import InputError, Taxonomy
from classifier.bundle import shipped_model
from tests.conftest import ROOT
from training.corpus import read_items
from training.progress import TrainingProgress
from training.resume import MarkFinished, last_finished, work_folder
from training.run import run
from training.train import Recipe, fine_tune

LINES = (ROOT / "training" / "data" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small labelled table and a very small encoder to start from."""
    folder = tmp_path_factory.mktemp("office")
    rows = [row for row in map(json.loads, LINES) if row["split"] == "train"]
    chosen = [
        row
        for c in ("transport", "eldercare")
        for row in [r for r in rows if r["primary"] == c and len(r["text"]) < 40][:60]
    ]
    (folder / "标注.csv").write_text(
        "内容,类别\n"
        + "\n".join('"{}",{}'.format(r["text"].replace('"', ""), r["primary"]) for r in chosen),
        encoding="utf-8",
    )
    tokenizer = AutoTokenizer.from_pretrained(shipped_model())
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder / "小")
    tokenizer.save_pretrained(folder / "小")
    return folder


def start(
    office: Path, home: Path, before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            str(Path(sys.executable).with_name("weilei")), "train", "标注.csv",
            "--base", "小", "--epochs", "6", "--force", "-o", str(home / "模型"),
        ],
        cwd=office, env={**os.environ, "PYTHONUTF8": "1", "WEILEI_HOME": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        preexec_fn=before,
    )  # fmt: skip


def weights(home: Path) -> dict[str, bytes]:
    tensors = load_file(home / "模型" / "model.safetensors")
    return {name: value.tobytes() for name, value in tensors.items()}


def test_killed_and_resumed_ends_like_uninterrupted(office: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "一", tmp_path / "二"
    whole.mkdir()
    killed.mkdir()
    out, err = start(office, whole).communicate()
    assert (whole / "模型").is_dir(), out + err

    process = start(office, killed)
    work = killed / ".模型-训练"
    while process.poll() is None and not list(work.rglob("checkpoints/checkpoint-*/finished")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert work.is_dir()
    assert not (killed / "模型").exists()
    assert not (killed / "models").exists() or not list((killed / "models").iterdir())

    process = start(office, killed)
    assert process.stdout is not None
    while "接着上次" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert "再运行一次同样的命令" in err
    assert "Traceback" not in err

    out, err = start(office, killed).communicate()
    assert "接着上次" in out, err
    assert weights(killed) == weights(whole)
    manifests = [
        json.loads((home / "模型" / "manifest.json").read_text(encoding="utf-8"))
        for home in (whole, killed)
    ]
    assert manifests[0]["training"] == manifests[1]["training"]
    # Forced into use, though it has no examples of eleven classes.
    assert (killed / "current").read_text(encoding="utf-8") == manifests[1]["id"]
    assert not work.exists()


def test_full_disk_is_said_and_the_next_run_goes_on(office: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the checkpoint does not fit."""
    limit = (1_000_000, 1_000_000)
    process = start(office, tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    _, err = process.communicate()
    assert process.returncode == 2, err
    assert "磁盘已满" in err
    assert "Traceback" not in err
    assert not (tmp_path / "current").exists()
    assert not (tmp_path / "模型").exists()
    assert (tmp_path / ".模型-训练" / "plan.json").is_file()


def test_half_written_checkpoints_are_not_used(tmp_path: Path) -> None:
    for step, whole in ((5, True), (10, True), (15, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / "finished").touch()
    assert last_finished(tmp_path) == str(tmp_path / "checkpoint-10")
    assert not (tmp_path / "checkpoint-15").exists()
    shutil.rmtree(tmp_path / "checkpoint-10")
    assert last_finished(tmp_path) == str(tmp_path / "checkpoint-5")


def test_half_deleted_checkpoints_are_not_used(tmp_path: Path) -> None:
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").touch()
        state = SimpleNamespace(global_step=step)
        MarkFinished().on_save(SimpleNamespace(output_dir=str(tmp_path)), state, None)
    (tmp_path / "checkpoint-10" / "model.safetensors").unlink()
    assert last_finished(tmp_path) == str(tmp_path / "checkpoint-5")


def test_the_bar_ends_when_training_is_broken_off(
    office: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the cursor stays hidden."""
    bars = []

    class Kept(TrainingProgress):
        def __init__(self) -> None:
            super().__init__()
            bars.append(self.bar)

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            assert self.bar.live.is_started
            raise KeyboardInterrupt

    monkeypatch.setattr("training.train.TrainingProgress", Kept)
    taxonomy = Taxonomy.load(shipped_model() / "taxonomy.toml")
    items = read_items(office / "标注.csv", taxonomy)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(items[:16], items[16:24], taxonomy, office / "小", tmp_path, Recipe(epochs=1))
    assert not bars[0].live.is_started


def test_files_in_another_order_are_another_plan(
    office: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []

    def stop(target: Path, plan: dict[str, Any]) -> None:
        plans.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr("training.run.work_folder", stop)
    one, two = office / "标注.csv", tmp_path / "二.csv"
    two.write_text("内容,类别\n路灯不亮,微交通\n", encoding="utf-8")
    for files in ([one, two], [two, one], [one, two, two]):
        with suppress(KeyboardInterrupt):
            run(files, tmp_path / "m", say=lambda line: None)
    assert len(plans) == 3
    assert all(a != b for a, b in combinations(plans, 2))


def test_work_folder_is_kept_after_an_error_and_only_for_the_same_plan(tmp_path: Path) -> None:
    def stop(plan: dict[str, int]) -> bool:
        with suppress(KeyboardInterrupt), work_folder(tmp_path / "m", plan) as (work, begun):
            (work / "checkpoints" / "checkpoint-1").mkdir(parents=True, exist_ok=True)
            (work / "checkpoints" / "checkpoint-1" / "finished").touch()
            with pytest.raises(InputError, match="正在由另一个"), work_folder(tmp_path / "m", plan):
                pass
            raise KeyboardInterrupt
        return begun

    assert [stop({"seed": 1}), stop({"seed": 1}), stop({"seed": 2})] == [False, True, False]
    with work_folder(tmp_path / "m", {"seed": 2}) as (_, begun):
        assert begun
    assert list(tmp_path.iterdir()) == []
