"""Stopping, restarting and changing the model under load."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.operations import Clients
from classifier.bundle import shipped_model
from tests.conftest import ROOT
from tests.serving.conftest import Server, Start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="没有这些信号")
ONE = {"text": "路灯坏了半个月没人修，晚上走路怕摔"}


def test_sigterm_drains(start: Start) -> None:
    server = start(drain=0.5)
    with Clients(server.url, 6) as load, server.client() as client:
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        late = client.post("/v1/files", files={"file": ("a.csv", "内容\n灯\n".encode())})
        assert (late.status_code, late.headers["retry-after"]) == (503, "5")
        server.process.wait(10)
    assert set(load.statuses) == {200}
    # A connection that was idle may be closed between two requests; an answer is never cut off.
    assert set(load.cut_off) <= {"RemoteProtocolError", "ReadError", "WriteError"}
    assert load.cut_off.total() <= 6


def test_a_new_model_is_loaded_under_load_and_a_broken_one_refused(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_model(), folder)
    server = start(model=folder)
    with Clients(server.url, 6) as load, server.client() as client:
        before, card = client.get("/v1/model").json()["id"], folder / "MODEL_CARD.md"
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text("utf-8").replace(before, "nummer-2"), "utf-8")
        server.process.send_signal(signal.SIGHUP)
        _until(lambda: client.get("/v1/model").json()["id"] == "nummer-2")
        ngrams = folder / "ngrams.npz"
        card.unlink()  # of what is loaded it was read with it
        assert client.get("/v1/model").json()["card_html"]
        ngrams.write_bytes(ngrams.read_bytes()[:-1] + b"x")
        server.process.send_signal(signal.SIGHUP)
        _until(lambda: "refused" in server.logged())
        manifest.unlink()
        manifest.mkdir()  # no longer a file that can be read
        server.process.send_signal(signal.SIGHUP)
        _until(lambda: server.logged().count("refused") == 2)
        assert client.get("/v1/model").json()["id"] == "nummer-2"
    assert set(load.statuses) == {200}
    assert not load.cut_off


def test_a_worker_that_is_killed_is_replaced(start: Start) -> None:
    server = start(workers=2)
    children = _children(server.process.pid)
    os.kill(children[-1], signal.SIGKILL)
    with server.client() as client:
        _until(lambda: _children(server.process.pid) != children)

        def answers() -> bool:
            try:
                return client.post("/v1/classify", json=ONE).status_code == 200
            except httpx.TransportError:
                return False

        _until(answers)


def test_several_workers_load_a_new_model_and_stay(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_model(), folder)
    server = start(model=folder, workers=2)
    children = _children(server.process.pid)
    manifest = folder / "manifest.json"
    before = json.loads(manifest.read_text("utf-8"))["id"]
    manifest.write_text(manifest.read_text("utf-8").replace(before, "nummer-2"), "utf-8")

    def model() -> str:
        with server.client() as client:  # on a connection of its own: either worker may answer
            return str(client.get("/v1/model").json()["id"])

    server.process.send_signal(signal.SIGHUP)
    _until(lambda: {model() for _ in range(10)} == {"nummer-2"})
    ngrams = folder / "ngrams.npz"
    ngrams.write_bytes(ngrams.read_bytes()[:-1] + b"x")
    server.process.send_signal(signal.SIGHUP)
    _until(lambda: server.logged().count("refused") == 2)
    assert {model() for _ in range(10)} == {"nummer-2"}
    assert _children(server.process.pid) == children


def test_several_workers_and_a_model_that_cannot_be_used(start: Start, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^出错了：.*模型文件夹"):
        start(model=tmp_path / "none", workers=2)


def test_several_workers_log_and_stop_at_once(start: Start) -> None:
    """Somebody who looks at the progress of a table does not hold the server up."""
    server = start(workers=2, drain=0.2)
    rows = "内容\n" + "路灯坏了半个月没人修\n" * 100_000
    with server.client() as client:
        place = client.post("/v1/files", files={"file": ("a.csv", rows.encode())}).headers[
            "location"
        ]
        asked = client.head(f"{place}/events", timeout=5)  # not until the table is done
        assert asked.headers["content-type"].startswith("text/event-stream")
        with client.stream("GET", f"{place}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("event: progress")
            server.process.send_signal(signal.SIGTERM)
            assert "event: done" not in list(lines)
    server.process.wait(20)
    assert '"route": "/v1/files"' in server.logged()
    assert "Traceback" not in server.logged()


def test_the_health_check_of_the_image_asks_the_port_that_is_set(server: Server) -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    [check] = re.findall(r"^HEALTHCHECK .* CMD +python (.*)$", image, re.MULTILINE)
    port = server.url.rpartition(":")[2]
    environment = {**os.environ, "WEILEI_SERVE_PORT": port, "no_proxy": "*"}
    subprocess.run(["sh", "-c", f"{sys.executable} {check}"], env=environment, check=True)


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return sorted(found)


def _until(true: object, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)
