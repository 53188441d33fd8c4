"""Going on after a kill: a work folder beside the output, and checkpoints known to be whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from transformers import TrainerCallback

from classifier.bundle import sha256
from classifier.errors import InputError

_MARK = "finished"
_PLAN = "plan.json"


class MarkFinished(TrainerCallback):
    """Marks a checkpoint once all its files are written; a kill may come before.

    The mark names them: the trainer deletes old checkpoints file by file, and a kill may
    come in between, too.
    """

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        names = "\n".join(p.name for p in folder.iterdir())
        (folder / _MARK).write_text(names, encoding="utf-8")


def _whole(folder: Path) -> bool:
    mark = folder / _MARK
    return mark.is_file() and all(
        (folder / name).exists() for name in mark.read_text(encoding="utf-8").split("\n")
    )


def last_finished(checkpoints: Path) -> str | None:
    """The newest whole checkpoint; what is newer is deleted, being half written or half gone."""
    found = sorted(
        checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]), reverse=True
    )
    for folder in found:
        if _whole(folder):
            return str(folder)
        shutil.rmtree(folder)
    return None


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder in order."""
    if path.is_file():
        return sha256(path)
    return " ".join(sha256(p) for p in sorted(path.rglob("*")) if p.is_file())


@contextmanager
def work_folder(output: Path, plan: dict[str, Any]) -> Iterator[tuple[Path, bool]]:
    """A folder beside `output` that outlives a killed run, and whether it holds an earlier start.

    It is kept if the block raises and removed if it ends well. What another
    plan (other data, recipe, base or versions) left in it is not used.

    Args:
        plan: all that decides the result of the run, as plain data.

    Raises:
        InputError: the folder cannot be made, or another run is using it.
    """
    work = output.parent / f".{output.name}-训练"
    try:
        work.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"写不了 {output.parent}（{error.strerror}），请先建好文件夹，或用 -o 换个位置"
        ) from None
    lock = FileLock(work / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{output} 正在由另一个 weilei train 训练，请等它结束") from None
    try:
        text = json.dumps(plan, indent=1, sort_keys=True)
        before = (work / _PLAN).read_bytes() if (work / _PLAN).is_file() else b""
        kept = before == text.encode()
        if not kept:
            for path in work.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            (work / _PLAN).write_bytes(text.encode())
        fitted = last_finished(work / "checkpoints") is not None
        yield work, kept and (fitted or any(work.glob("fold-*/outputs.npz")))
    finally:
        lock.release()
    shutil.rmtree(work, ignore_errors=True)
