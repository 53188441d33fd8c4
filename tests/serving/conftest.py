"""A real server in a process of its own, on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT


@dataclass
class Server:
    """A running server: its address, its process and what it has logged."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **options)  # type: ignore[arg-type]

    def logged(self) -> str:
        return self.log.read_text(encoding="utf-8")


Start = Callable[..., "Server"]


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {f"WEILEI_SERVE_{k.upper()}": str(v) for k, v in settings.items()}
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-c", "from classifier.cli import main; main()",
             "serve", "--port", str(port)],
            stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
            env={**os.environ, "WEILEI_SERVE_FILES": str(folder / "files"), **variables},
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(server)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(server: Server) -> None:
    until = time.monotonic() + 120
    with server.client() as client:
        while time.monotonic() < until and server.process.poll() is None:
            try:
                if client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    raise RuntimeError(server.logged())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with its own settings; it is stopped after the test."""
    open_ones = []

    def begin(**settings: object) -> Server:
        manager = serving(tmp_path, **settings)
        open_ones.append(manager)
        return manager.__enter__()

    yield begin
    for manager in open_ones:
        manager.__exit__(None, None, None)
