"""Keys, limits, slow clients and settings, with a real server for each set of settings."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from classifier import Prediction, SuggestionClassifier, tagging
from classifier.errors import InputError
from classifier.tables import target
from serve import files
from serve.app import create_app
from serve.batching import Batcher
from serve.errors import ProblemError
from serve.main import run
from serve.metrics import Metrics
from serve.settings import Settings, load_settings
from tests.conftest import ROOT
from tests.serving.conftest import Start

KEY, OTHER = "first-key", "second-key"
HASHES = [hashlib.sha256(k.encode()).hexdigest() for k in (KEY, OTHER)]
ONE = {"text": "路灯坏了半个月没人修"}
GUESS = Prediction("微城管", "cityadmin", 0.9, (), (), "auto", "", "", False, "", ())


def test_keys_rate_and_owners(start: Start) -> None:
    server = start(api_keys=f'["{HASHES[0]}", "{HASHES[1]}"]', rate_limit="5/minute")
    first, second = ({"X-API-Key": key} for key in (KEY, OTHER))
    with server.client() as client:
        assert client.get("/").status_code == 200
        assert client.post("/v1/classify", json=ONE).status_code == 401
        assert client.post("/v1/classify", json=ONE, headers={"X-API-Key": "x"}).status_code == 401
        assert client.post("/v1/classify", json=ONE, headers=first).status_code == 200
        sent = client.post("/v1/files", files={"file": ("a.csv", b"text\nx\n")}, headers=first)
        place = sent.headers["location"]
        assert client.get(place, headers=first).status_code == 200
        assert client.get(place, headers=second).status_code == 404
        statuses = [client.get("/v1/taxonomy", headers=first) for _ in range(4)]
        assert statuses[-1].status_code == 429
        assert 1 <= int(statuses[-1].headers["retry-after"]) <= 60
        assert client.get("/v1/taxonomy", headers=second).status_code == 200
    assert KEY not in server.logged()


def test_overload_is_refused_at_once_and_accepted_work_is_done(start: Start) -> None:
    server = start(max_queue=300, max_batch=60)
    with server.client(limits=httpx.Limits(max_connections=64)) as client:
        client.post("/v1/classify", json=ONE)
        with ThreadPoolExecutor(64) as pool:
            texts = [f"第{i}号路口的红绿灯坏了，早高峰堵成一团，盼望快来修一修" for i in range(300)]
            done = list(pool.map(lambda t: client.post("/v1/classify", json={"text": t}), texts))
        assert {d.status_code for d in done} == {200, 429}
        assert all(int(d.headers["retry-after"]) >= 1 for d in done if d.status_code == 429)
        assert client.post("/v1/classify", json=ONE).status_code == 200


def test_a_deadline_gives_504(start: Start) -> None:
    server = start(deadline=0.001)
    with server.client() as client:
        done = client.post("/v1/classify", json={"text": "路灯坏了" * 60})
    assert done.status_code == 504


def test_a_batch_neither_keeps_out_single_requests_nor_runs_out_of_time() -> None:
    release = threading.Event()  # stands in for an engine that needs its time

    def classify(texts: list[str]) -> list[Prediction]:
        release.wait(0.05)
        return [GUESS] * len(texts)

    async def play() -> None:
        queue = Batcher(classify, max_batch=2500, max_queue=16_000, deadline=0.3, metrics=Metrics())
        many = asyncio.create_task(queue.submit(["路" * 300] * 256))
        await asyncio.sleep(0)
        assert await queue.submit(["路灯坏了"]) == [GUESS]
        assert not many.done()
        with pytest.raises(ProblemError):
            await queue.submit(["路灯坏了"] * 2)
        assert await many == [GUESS] * 256
        await queue.close()

    asyncio.run(play())


def test_a_page_of_another_site_sends_no_table(start: Start) -> None:
    server = start(allow_origins='["https://city.example"]')
    with server.client() as client:

        def send(site: str, origin: str) -> int:
            headers = {"Sec-Fetch-Site": site, "Origin": origin}
            table = {"file": ("a.csv", "内容\n路灯坏了\n".encode())}
            return client.post("/v1/files", files=table, headers=headers).status_code

        assert send("cross-site", "https://b.example") == 403
        assert send("cross-site", "https://city.example") == 202
        assert send("same-origin", server.url) == 202


def test_slow_clients_are_let_go(start: Start) -> None:
    server = start(slow_client=0.5)
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
    for said in (b"", head, head + b"Content-Length: 100\r\n\r\n{"):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(said)
            answer = b""
            while part := connection.recv(4096):
                answer += part
            assert answer == b"" or b" 408 " in answer.split(b"\r\n")[0]


def test_uploads_are_gone_after_their_time(start: Start, tmp_path: Path) -> None:
    server = start(keep_files=1)
    with server.client() as client:
        sent = client.post("/v1/files", files={"file": ("a.csv", "内容\n路灯坏了\n".encode())})
        assert sent.status_code == 202
        for _ in range(100):
            if client.get(sent.headers["location"]).status_code == 404:
                break
            time.sleep(0.1)
    assert list((tmp_path / "files").iterdir()) == []


def test_cors_is_closed_unless_set(start: Start, tmp_path: Path) -> None:
    asked = {"Origin": "https://city.example", "Access-Control-Request-Method": "POST"}
    server = start(allow_origins='["https://city.example"]')
    with server.client() as client:
        opened = client.options("/v1/classify", headers=asked)
        other = client.options("/v1/classify", headers={**asked, "Origin": "https://b.example"})
    name = "access-control-allow-origin"
    assert opened.headers[name] == "https://city.example"
    assert name not in other.headers
    assert other.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"host": "0.0.0.0"}, "api_keys"),
        ({"host": "0.0.0.0", "api_keys": ("geheim",)}, "--make-key"),
        ({"port": 99999}, "port"),
        ({"port": "x"}, "port 要是整数"),
        ({"port": -1}, "port 不能小于 0"),
        ({"max_error": 2.0}, "max_error"),
        ({"rate_limit": "abc"}, "rate_limit 要写成"),
        ({"rate_limit": "1200/minute; 20/second"}, "rate_limit 要写成"),
        ({"api_keys": 5}, "api_keys 要写成列表"),
        ({"allow_origins": ("*",)}, "不能用 \\*，有几个网站就写几个"),
        ({"allow_origins": ("city.example",)}, "要写网站的来源，如 https://"),
        ({"allow_origins": ("https://city.example/form",)}, "要写网站的来源"),
        ({"allow_origins": ("https://*.city.example",)}, "要写网站的来源"),
        ({"allow_origins": ("null",)}, "要写网站的来源"),
        ({"allow_origins": ("https://a..例",)}, "要写网站的来源"),
    ],
)
def test_wrong_settings(given: dict[str, object], advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        load_settings(**given)


def test_origins_are_kept_as_browsers_say_them() -> None:
    given = (
        "HTTPS://City.Example/", "http://10.0.0.5:8080", "https://b.example:443",
        "http://[::1]:80", "https://市政府.example",
    )  # fmt: skip
    assert load_settings(allow_origins=given).allow_origins == (
        "https://city.example", "http://10.0.0.5:8080", "https://b.example",
        "http://[::1]", "https://xn--7st6m03o.example",
    )  # fmt: skip


def test_unknown_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("prot = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="prot"):
        load_settings(file)
    file.write_text("port = 1\nworkers = 2\n", encoding="utf-8")
    monkeypatch.setenv("WEILEI_SERVE_PORT", "2")
    settings = load_settings(file)
    assert (settings.port, settings.workers) == (2, 2)
    monkeypatch.setenv("WEILEI_SERVE_PROT", "1")
    with pytest.raises(InputError, match="WEILEI_SERVE_PROT"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"), [("API_KEYS", "abc"), ("API_KEYS", ""), ("ALLOW_ORIGINS", "http://a")]
)
def test_a_list_in_the_environment_that_is_none(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"WEILEI_SERVE_{name}", value)
    with pytest.raises(InputError, match="要写成列表"):
        load_settings()


def test_what_is_not_given_is_read_from_a_file_of_notepad(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('host = "::1"\nport = 1\n', encoding="utf-8-sig")
    settings = load_settings(file, host=None, port=None)
    assert (settings.host, settings.port) == ("::1", 1)
    assert load_settings(file, host=None, port=2).port == 2


def test_a_port_in_use_is_said_before_the_model_is_loaded(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as busy,
        pytest.raises(InputError, match="已经有程序在用"),
    ):
        run(port=busy.getsockname()[1])


def test_a_table_that_waits_long_is_not_given_up(
    tmp_path: Path, clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_DEAD", 1.0)
    monkeypatch.setattr(files, "_BEAT", 0.1)
    turn = threading.Event()
    place = files.Files(Settings(files=tmp_path, max_files=2), lambda: turn.wait(60) and clf)

    async def send() -> str:
        table, options = io.BytesIO("内容\n路灯坏了\n".encode()), {"max_error": None}
        return str((await place.receive("a.csv", table, "", options))["id"])

    async def play() -> None:
        beat = asyncio.create_task(place.beat())
        numbers = [await send(), await send()]
        with pytest.raises(ProblemError):
            await send()
        await asyncio.sleep(1.5)
        assert [place.state(n, "")["state"] for n in numbers] == ["queued", "queued"]
        async for event in place.events(numbers[1], ""):
            assert '"state": "queued"' in event["data"]
            break
        beat.cancel()
        await asyncio.sleep(1.5)  # as after the death of this server
        assert place.state(numbers[1], "")["state"] == "failed"
        third = await send()
        turn.set()
        while place.state(third, "")["state"] != "done":
            await asyncio.sleep(0.1)
        await place.close()

    try:
        asyncio.run(play())
    finally:
        turn.set()


def test_what_else_lies_in_the_place_for_uploads_is_left_alone(tmp_path: Path) -> None:
    place = files.Files(Settings(files=tmp_path, keep_files=60), lambda: None)  # type: ignore[arg-type, return-value]
    for name in ("年度报告", "a" * 22, "b" * 22, ".cccccccccccccccccccccc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ("原表.csv" if name[0] in "b." else "x.csv")).touch()
        os.utime(tmp_path / name, (0, 0))
    place._sweep()
    assert {p.name for p in tmp_path.iterdir()} == {"年度报告", "a" * 22}


def test_a_stop_does_not_wait_for_a_table_and_a_deleted_one_is_gone(
    tmp_path: Path, clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = threading.Event()  # stands in for a table that takes minutes to read
    place = files.Files(Settings(files=tmp_path), lambda: turn.wait(60) and clf)

    async def play() -> None:
        numbers = []
        for _ in range(3):
            table = io.BytesIO("内容\n路灯坏了\n".encode())
            sent = await place.receive("a.csv", table, "", {"max_error": None})
            numbers.append(str(sent["id"]))
        with monkeypatch.context() as m:  # as when a file is written while others are deleted
            m.setattr(files.shutil, "rmtree", lambda *_, **__: None)
            place.remove(numbers.pop(), "")
        assert len([p for p in tmp_path.iterdir() if p.name.isidentifier()]) <= 2
        begun = time.monotonic()
        await place.close()
        assert time.monotonic() - begun < 5
        for number in numbers:
            assert "服务停止了" in place.state(number, "")["error"]["detail"]

    try:
        asyncio.run(play())
    finally:
        turn.set()


def test_a_table_that_excel_cannot_hold_comes_back_as_csv(
    tmp_path: Path, clf: SuggestionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (tagging, target):
        monkeypatch.setattr(module, "MOST_ROWS", 3)
    place = files.Files(Settings(files=tmp_path), lambda: clf)

    async def play() -> tuple[Path, str]:
        table = io.BytesIO("内容\n路灯坏了\n路灯\n灯\n".encode())
        number = (await place.receive("表.csv", table, "", {"max_error": None}))["id"]
        while place.state(number, "")["state"] in ("queued", "running"):
            await asyncio.sleep(0.05)
        found = place.table(number, "")
        await place.close()
        return found

    path, name = asyncio.run(play())
    assert name == "表-打标.csv"
    assert "处理通道" in path.read_text(encoding="utf-8-sig")


def test_no_place_for_uploads_and_what_nobody_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "file"
    nowhere.touch()
    app = create_app(Settings(files=nowhere / "files"))
    with TestClient(app) as client:
        sent = client.post("/v1/files", files={"file": ("a.csv", b"text\nx\n")})
        assert (sent.status_code, sent.json()["title"]) == (507, "存不下")
        assert "服务器存不下" in sent.json()["detail"]
        monkeypatch.setattr(files.Files, "_own", lambda *_: 1 / 0)
        done = client.get("/v1/files/1")
    assert (done.status_code, done.headers["content-type"]) == (500, "application/problem+json")
    assert done.json()["instance"].startswith("urn:uuid:")
    assert "请求编号" in done.json()["detail"]


def test_every_setting_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \|", readme, flags=re.MULTILINE))
    assert set(Settings.model_fields) <= rows


def test_threads_do_not_disturb_each_other(start: Start) -> None:
    """Two engines' worth of requests at once: each gets its own answer."""
    server = start()
    pairs = {"三路公交车等了四十分钟不来": "", "老年卡在哪儿办": "", "小区电梯老是坏": ""}
    with server.client() as client:
        for text in pairs:
            pairs[text] = client.post("/v1/classify", json={"text": text}).json()["primary"]
        wrong: list[str] = []

        def ask(text: str) -> None:
            for _ in range(10):
                if (
                    client.post("/v1/classify", json={"text": text}).json()["primary"]
                    != pairs[text]
                ):
                    wrong.append(text)

        threads = [threading.Thread(target=ask, args=(t,)) for t in pairs for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
