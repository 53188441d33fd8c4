"""Uploaded tables: each in a folder of its own, with its state on disk beside it.

The state is a small file, so that any worker can answer for a table that
another one is working on. A folder is gone after an hour (``keep_files``) or
when it is deleted; a worker that finds the folder of its table gone stops. Of
a table that failed only the state is kept. What else is in the place for
uploads is not ours, and is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any, BinaryIO

from classifier import SuggestionClassifier
from classifier.decision import AUTO, REVIEW
from classifier.errors import MissingExtra, WeileiError
from classifier.privacy import mask
from classifier.tables.source import SUFFIXES
from classifier.tables.target import clean
from classifier.tagging import LANES, TAGGED, Report, tag_file
from serve.errors import ProblemError, no_room, problem
from serve.settings import Settings

STATE = "状态.json"
_TOUCH = 0.3  # seconds between two notes of progress
_BEAT = 10.0  # seconds between two signs that a table, queued or running, is not forgotten
_DEAD = 60.0  # seconds without a sign after which nobody works on a table any more
_SHOWN = 500  # characters of a row for review; the state is read again and again
_STOP_WITHIN = 0.8  # seconds for the table that is being worked on when the server stops
_STOPPED = "服务停止了，请重新上传。"
_FOREIGN = "放上传表格的临时文件夹别人也能用，不安全；请告诉管理员用 files 另设一个。"
FILES = "files"  # the thread that tags them
_OPEN = ("queued", "running")
_SOURCE = "原表"
_OURS = re.compile(r"\.?\w{22}", re.ASCII)  # names of our folders; with a dot they are deleted


class _GoneError(Exception):
    """The table was deleted while it was being worked on."""


class Files:
    """Receives, tags, answers for and removes uploaded tables."""

    def __init__(
        self,
        settings: Settings,
        classifier: Callable[[], SuggestionClassifier],
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings, self._classifier, self._draining = settings, classifier, draining
        self._root = settings.files
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=FILES)
        self._closing = False
        self._at_work: set[Path] = set()  # folders of the tables queued or running here
        self._jobs: set[Future[None]] = set()

    async def receive(
        self, name: str, data: BinaryIO, owner: str, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Keep an uploaded table and start on it.

        Raises:
            ProblemError: 422 for a name that is no table's, 429 for too many tables, 507 if
                there is no place for it.
        """
        name = clean(Path(_decoded(name).replace("\\", "/")).name[-120:])
        suffix = Path(name).suffix.lower()
        if suffix not in SUFFIXES:
            raise ProblemError(422, f"只收表格文件（{'、'.join(SUFFIXES)}）。")
        folder = self._root / secrets.token_urlsafe(16).replace("-", "_")
        source = folder / f"{_SOURCE}{suffix}"
        state = {
            "id": folder.name, "name": name, "owner": owner, "state": "queued", "done": 0,
            "total": None, "rows": None, "classes": {}, "lanes": {}, "note": "", "columns": [],
            "problems": [], "review": [], "error": None, "output": "",
        }  # fmt: skip
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._safe():
                raise ProblemError(507, _FOREIGN)
            if sum(map(_waiting, self._root.iterdir())) >= self._settings.max_files:
                raise ProblemError(429, "排队的表格太多。", {"Retry-After": "30"})
            folder.mkdir(mode=0o700)
            await asyncio.to_thread(_copy, data, source)
            _write(folder, state)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise no_room(error) from None
        self._at_work.add(folder)
        job = self._pool.submit(self._tag, folder, source, state, options)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return public(state)

    def state(self, number: str, owner: str) -> dict[str, Any]:
        """The state of a table.

        Raises:
            ProblemError: 404 for a table that is not there, or somebody else's.
        """
        return public(self._own(number, owner))

    def table(self, number: str, owner: str) -> tuple[Path, str]:
        """The tagged table, and the name to save it under.

        Raises:
            ProblemError: 404, or 409 while it is not finished.
        """
        state = self._own(number, owner)
        if state["state"] != "done":
            raise ProblemError(409)
        path = self._root / number / Path(state["output"]).name
        return path, f"{Path(state['name']).stem}{TAGGED}{path.suffix}"

    def remove(self, number: str, owner: str) -> None:
        """Delete a table and everything made of it.

        Raises:
            ProblemError: 404.
        """
        self._own(number, owner)
        folder = self._root / number
        # Moved away first: what is being written there meanwhile would outlive the deletion.
        with contextlib.suppress(OSError):
            folder = folder.rename(self._root / f".{number}")
        shutil.rmtree(folder, ignore_errors=True)

    async def events(self, number: str, owner: str) -> AsyncIterator[dict[str, str]]:
        """Progress of a table as server-sent events, until it is done or failed.

        They end, too, when the server is to stop, which would wait for them.
        """
        while not self._draining():
            try:
                state = self.state(number, owner)
            except ProblemError as error:
                body = problem(error.status).body
                yield {"event": "failed", "data": bytes(body).decode()}
                return
            if state["state"] in _OPEN:
                yield {
                    "event": "progress",
                    "data": json.dumps({k: state[k] for k in ("state", "done", "total")}),
                }
                await asyncio.sleep(_TOUCH)
                continue
            done = state["state"] == "done"
            data = state if done else state["error"]
            yield {
                "event": "done" if done else "failed",
                "data": json.dumps(data, ensure_ascii=False),
            }
            return

    async def sweep(self) -> None:
        """Every minute, remove what is too old."""
        while True:
            with contextlib.suppress(OSError):  # no permission, or deleted by another worker
                await asyncio.to_thread(self._sweep)
            await asyncio.sleep(min(60.0, self._settings.keep_files / 4))

    def _sweep(self) -> None:
        if not self._safe():
            return
        for folder in filter(_ours, self._root.iterdir()):
            try:
                age = time.time() - folder.stat().st_mtime
            except FileNotFoundError:
                continue
            if age > self._settings.keep_files:
                shutil.rmtree(folder, ignore_errors=True)

    async def beat(self) -> None:
        """Every few seconds, show that the tables queued or running here are not forgotten."""
        while True:
            for folder in list(self._at_work):
                with contextlib.suppress(OSError):  # deleted in between
                    os.utime(folder / STATE)
                    os.utime(folder)  # or it would be too old before its turn
            await asyncio.sleep(_BEAT)

    async def close(self) -> None:
        """Stop; tables that are not finished are told so.

        A large one that is just being read or written does not look up for minutes.
        """
        self._closing = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + _STOP_WITHIN
        while self._jobs and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for folder in list(self._at_work):
            state = _read(folder)
            if state is not None and state["state"] in _OPEN:
                _fail(state, _STOPPED)
                _forget(folder)
                with contextlib.suppress(_GoneError, OSError):
                    _write(folder, state)

    def _safe(self) -> bool:
        """Whether the folder is there, and by default ours alone: anybody may write in /tmp.

        Whoever names the folder in the settings decides who shares it.
        """
        if "files" in self._settings.model_fields_set or not hasattr(os, "getuid"):
            return self._root.is_dir()
        try:
            found = self._root.lstat()
        except FileNotFoundError:
            return False
        alone = found.st_uid == os.getuid() and not found.st_mode & 0o077
        return alone and stat.S_ISDIR(found.st_mode)

    def _own(self, number: str, owner: str) -> dict[str, Any]:
        folder = self._root / number
        known = number.replace("_", "").isalnum() and self._safe()
        state = _read(folder) if known else None
        if state is None or state["owner"] != owner:
            raise ProblemError(404)
        if state["state"] in _OPEN and not _alive(folder):
            _fail(state, "处理中断了，请重新上传。")
        return state

    def _tag(
        self, folder: Path, source: Path, state: dict[str, Any], options: dict[str, Any]
    ) -> None:
        noted = 0.0

        def note(n: int) -> None:
            nonlocal noted
            state["done"] += n
            if self._closing or not folder.is_dir():
                raise _GoneError
            if time.monotonic() - noted > _TOUCH:
                noted = time.monotonic()
                _write(folder, state)

        def begin(total: int | None) -> None:
            nonlocal noted
            state.update(state="running", total=total)
            noted = 0.0  # to be written at once
            note(0)

        try:
            classifier = self._classifier().with_max_error(options.pop("max_error"))
            begin(None)  # a large table takes minutes to be read
            report = tag_file(
                source,
                classifier,
                output=folder,
                started=lambda table, done: begin(table.total),
                progress=note,
                **options,
            )
            state.update(state="done", **_summary(report))
        except _GoneError:
            _fail(state, _STOPPED)
        except MissingExtra:
            _fail(state, f"服务器没有装读 {source.suffix} 的部分，请换成 .xlsx 或 .csv 再试。")
        except WeileiError as error:
            said = _readable(error, source, state["name"])
            _fail(state, said, 422 if said else 507)
        except Exception as error:  # the table must not stay “running” for ever
            _fail(state, f"打标时出错（{type(error).__name__}），请检查表格，或换成 .xlsx 再试。")
        if state["state"] == "failed":
            if self._closing:  # which takes the table away
                _fail(state, _STOPPED)
            _forget(folder)
        try:
            _write(folder, state)
        except _GoneError:
            pass
        finally:
            self._at_work.discard(folder)


def public(state: dict[str, Any]) -> dict[str, Any]:
    """What a client may see of a state."""
    return {k: v for k, v in state.items() if k not in ("owner", "output")}


def _summary(report: Report) -> dict[str, Any]:
    return {
        "done": report.total,
        "rows": report.total,
        "output": report.output.name,
        "note": report.note,
        "columns": report.columns,
        "classes": {
            name: {lane: report.counts[name, LANES[lane]] for lane in (AUTO, REVIEW)}
            for name in report.classes
        },
        "lanes": {lane: report.lanes[LANES[lane]] for lane in (AUTO, REVIEW)},
        "problems": [
            {"what": what, "count": report.problem_counts[what], "rows": rows}
            for what, rows in report.problems.items()
        ],
        "review": [
            {"row": n, "text": text[:_SHOWN] + "…" * (len(text) > _SHOWN), "primary": added[0],
             "probability": added[2], "reason": added[4]}
            for n, text, added in report.review
        ],
    }  # fmt: skip


def _readable(error: WeileiError, source: Path, name: str) -> str:
    """What the library says, for somebody who sees neither our folders nor a command line.

    Nothing, if it is about a file that the server could not write. The columns
    of a table without header are what a citizen wrote.
    """
    said = str(error).replace(str(source), name)
    if str(source.parent) in said:
        return ""
    said = said.replace("请用 --text 列名 指明", "请写在“正文在哪一列”（text）里")
    return clean(mask(said.replace("--text ", "“正文在哪一列”（text）")))


def _fail(state: dict[str, Any], detail: str, status: int = 422) -> None:
    state.update(state="failed", error=json.loads(bytes(problem(status, detail).body)))


def _forget(folder: Path) -> None:
    """Delete what was uploaded and what was made of it; only the state stays."""
    with contextlib.suppress(OSError):  # deleted in between
        for path in folder.iterdir():
            if path.is_dir():  # rows of a workbook that was not finished
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in (STATE, f".{STATE}"):
                path.unlink(missing_ok=True)


def _decoded(name: str) -> str:
    """A name that .NET and mail programs send as =?utf-8?B?…?= (RFC 2047)."""
    if not name.startswith("=?"):
        return name
    try:
        return str(make_header(decode_header(name)))
    except (HeaderParseError, LookupError, ValueError):
        return name


def _copy(data: BinaryIO, target: Path) -> None:
    with target.open("xb") as out:
        shutil.copyfileobj(data, out)


def _ours(folder: Path) -> bool:
    """Whether a folder was made by :meth:`Files.receive`."""
    return _OURS.fullmatch(folder.name) is not None and (
        (folder / STATE).exists() or any(folder.glob(f"{_SOURCE}.*"))
    )


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _alive(folder: Path) -> bool:
    """Whether somebody works on an open table, or will: a killed server leaves others behind."""
    try:
        return time.time() - (folder / STATE).stat().st_mtime <= _DEAD
    except FileNotFoundError:
        return False


def _waiting(folder: Path) -> bool:
    state = _read(folder)
    return state is not None and state["state"] in _OPEN and _alive(folder)


def _write(folder: Path, state: dict[str, Any]) -> None:
    part = folder / f".{STATE}"
    try:
        part.write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        os.replace(part, folder / STATE)
    except FileNotFoundError:  # deleted in between
        raise _GoneError from None
