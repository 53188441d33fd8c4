"""Uploaded tables, from the inside: what is kept, and what their state says meanwhile."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from classifier import SuggestionClassifier, tagging
from classifier.tables.source import SUFFIXES
from serve import files
from serve.app import create_app
from serve.errors import ProblemError
from serve.settings import Settings, in_words


async def send(place: files.Files, content: str, text: str | None = None) -> str:
    options = {"max_error": None, "text": text}
    sent = await place.receive("表.csv", io.BytesIO(content.encode()), "", options)
    return str(sent["id"])


async def ended(place: files.Files, number: str) -> dict[str, Any]:
    while (state := place.state(number, ""))["state"] in ("queued", "running"):
        await asyncio.sleep(0.05)
    return state


@pytest.mark.parametrize("late", [False, True])
def test_of_a_table_that_failed_only_the_state_is_kept(
    tmp_path: Path, clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if late:  # with its journal beside it
        monkeypatch.setattr(tagging, "write_whole", refuse)
    place = files.Files(Settings(files=tmp_path), lambda: clf)

    async def play() -> None:
        number = await send(place, "内容\n路灯坏了\n", None if late else "没有这一列")
        state = await ended(place, number)
        assert state["state"] == "failed"
        assert [p.name for p in (tmp_path / number).iterdir()] == [files.STATE]
        assert place.state(number, "") == state
        await place.close()

    asyncio.run(play())


def test_a_stop_takes_the_tables_away_that_it_fails(
    tmp_path: Path, clf: SuggestionClassifier
) -> None:
    turn = threading.Event()
    place = files.Files(Settings(files=tmp_path), lambda: turn.wait(60) and clf)

    async def play() -> list[str]:
        numbers = [await send(place, "内容\n路灯坏了\n") for _ in range(2)]
        await place.close()
        return numbers

    try:
        numbers = asyncio.run(play())
        for number in numbers:
            assert [p.name for p in (tmp_path / number).iterdir()] == [files.STATE]
    finally:
        turn.set()
    place._pool.shutdown()  # the first goes on until it looks up
    for number in numbers:
        assert "服务停止了" in place.state(number, "")["error"]["detail"]


def test_a_table_being_read_is_not_in_the_queue(
    tmp_path: Path, clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, turn = threading.Event(), threading.Event()
    real = tagging.open_table

    def slowly(*given: Any) -> Any:  # as a large one
        reading.set()
        assert turn.wait(60)
        return real(*given)

    monkeypatch.setattr(tagging, "open_table", slowly)
    place = files.Files(Settings(files=tmp_path), lambda: clf)

    async def play() -> None:
        number = await send(place, "内容\n路灯坏了\n")
        assert await asyncio.to_thread(reading.wait, 60)
        state = place.state(number, "")
        assert (state["state"], state["total"]) == ("running", None)
        turn.set()
        assert (await ended(place, number))["total"] == 1
        await place.close()

    try:
        asyncio.run(play())
    finally:
        turn.set()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows")
@pytest.mark.parametrize("how", ["open", "link"])
def test_a_folder_that_others_made_is_not_taken(
    tmp_path: Path, clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = Settings()
    planted = settings.files
    if how == "link":
        (tmp_path / "else").mkdir(mode=0o700)
        planted.symlink_to(tmp_path / "else")
    else:
        planted.mkdir()
        planted.chmod(0o777)
    place = files.Files(settings, lambda: clf)
    with pytest.raises(ProblemError, match="507"):
        asyncio.run(send(place, "内容\n路灯坏了\n"))
    assert not list(planted.iterdir())


def test_a_state_names_no_file_elsewhere(tmp_path: Path, clf: SuggestionClassifier) -> None:
    folder = tmp_path / "files" / "x"
    folder.mkdir(parents=True)
    state = {"owner": "", "name": "表.csv", "state": "done", "output": "/etc/passwd"}
    (folder / files.STATE).write_text(json.dumps(state), encoding="utf-8")
    place = files.Files(Settings(files=tmp_path / "files"), lambda: clf)
    assert place.table("x", "")[0] == folder / "passwd"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3600, "1 小时"), (86400, "1 天"), (5400, "90 分钟"), (45, "45 秒"), (0.5, "0.5 秒")],
)
def test_a_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_page_and_description_say_how_long_and_what_the_server_takes(tmp_path: Path) -> None:
    app = create_app(Settings(files=tmp_path, keep_files=5400))
    with TestClient(app) as client:
        page, model = client.get("/files").text, client.get("/model").text
        upload = client.get("/v1/openapi.json").json()["paths"]["/v1/files"]["post"]
    assert "留 90 分钟" in page
    assert all("<noscript>" in p for p in (page, model))
    assert f'accept="{",".join(SUFFIXES)}"' in page
    assert "留 90 分钟" in upload["description"]
