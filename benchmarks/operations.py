"""What a server has to survive: abuse, SIGTERM under load, a killed worker, hours of load.

python -m benchmarks.operations abuse
python -m benchmarks.operations sigterm [--times 50]
python -m benchmarks.operations worker
python -m benchmarks.operations soak [--minutes 30]

Nothing else should run on the machine. Linux only (it reads /proc).
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import httpx
import numpy as np

from benchmarks.serving import bodies, resident, server

_JSON = {"content-type": "application/json"}


class Clients:
    """Honest clients: each asks, waits for the answer, thinks, asks again."""

    def __init__(self, url: str, clients: int, think: float = 0.0) -> None:
        self.url, self.think = url, think
        self.statuses: Counter[int] = Counter()
        self.cut_off: Counter[str] = Counter()
        self.milliseconds: list[float] = []
        self._texts = bodies()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(clients)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def p99(self) -> float:
        """Milliseconds."""
        return float(np.percentile(self.milliseconds, 99))

    def _ask(self, seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(base_url=self.url, timeout=30, headers=_JSON, trust_env=False) as client:
            while not self._stop.is_set():
                begun = time.perf_counter()
                try:
                    answer = client.post("/v1/classify", content=rng.choice(self._texts))
                except httpx.ConnectError:
                    return  # nobody listens: not accepted, so not lost
                except httpx.TransportError as error:
                    self.cut_off[type(error).__name__] += 1
                    return
                self.milliseconds.append((time.perf_counter() - begun) * 1e3)
                self.statuses[answer.status_code] += 1
                if self.think:
                    self._stop.wait(rng.expovariate(1 / self.think))


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A bare connection."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


def _said(connection: socket.socket) -> str:
    try:
        return connection.recv(4096).split(b"\r\n")[0].decode() or "closed"
    except OSError as error:
        return type(error).__name__


def _head(extra: str) -> bytes:
    return f"POST /v1/classify HTTP/1.1\r\nHost: x\r\n{extra}\r\n\r\n".encode()


def large(url: str) -> str:
    """A body of 300 MB that says so."""
    with connected(url) as connection:
        connection.sendall(_head(f"Content-Type: application/json\r\nContent-Length: {300 << 20}"))
        try:
            for _ in range(300):
                connection.sendall(b"x" * (1 << 20))
        except OSError:
            pass
        return _said(connection)


def endless(url: str) -> str:
    """Chunks without end."""
    with connected(url) as connection:
        connection.sendall(_head("Content-Type: application/json\r\nTransfer-Encoding: chunked"))
        sent = 0
        try:
            while sent < 300 << 20:
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass
        return f"{_said(connection)} after {sent >> 20} MB"


def slow(url: str) -> str:
    """Two hundred clients that send a letter a second, until they are let go."""
    host, port = url.removeprefix("http://").split(":")
    some = [socket.create_connection((host, int(port)), timeout=60) for _ in range(200)]
    begun = time.perf_counter()
    for connection in some:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nX-A: ")
    left = set(some)
    while left and time.perf_counter() - begun < 30:
        time.sleep(1)
        for connection in list(left):
            try:
                connection.sendall(b"a")
            except OSError:
                left.discard(connection)
    for connection in some:
        connection.close()
    return f"{200 - len(left)} of 200 let go within {time.perf_counter() - begun:.0f} s"


def posted(content: bytes) -> Callable[[str], str]:
    """An attack that is one body."""

    def attack(url: str) -> str:
        answer = httpx.post(f"{url}/v1/classify", content=content, headers=_JSON, timeout=60)
        return f"{answer.status_code} {answer.headers['content-type']}"

    return attack


ATTACKS: dict[str, Callable[[str], str]] = {
    "300 MB body": large,
    "endless chunks": endless,
    "slow-loris": slow,
    "JSON a million deep": posted(b'{"text": ' + b"[" * 900_000 + b"]" * 900_000 + b"}"),
    "NUL": posted(b'{"text": "\\u0000\\u0000"}'),
    "lone surrogate": posted(b'{"text": "\\ud800 \\udfff"}'),
    "bytes that are no UTF-8": posted(b'{"text": "\xff\xfe"}'),
}


@click.group()
def main() -> None:
    """Measure and print."""


@main.command()
def abuse() -> None:
    """Answer to each attack, most memory it took, and the 99th percentile of two others."""
    with server("weilei") as (url, pid):
        with Clients(url, 2) as before:
            time.sleep(10)
        settled = resident(pid)
        click.echo(f"others: p99 {before.p99():.0f} ms, resident {settled:.0f} MB")
        for name, attack in ATTACKS.items():
            most = [resident(pid)]
            watching = threading.Event()

            def watch(most: list[float] = most, watching: threading.Event = watching) -> None:
                while not watching.wait(0.02):
                    most.append(resident(pid))

            with Clients(url, 2) as others:
                watcher = threading.Thread(target=watch)
                watcher.start()
                begun = time.perf_counter()
                said = attack(url)
                spent = time.perf_counter() - begun
                time.sleep(max(0.0, 5 - spent))  # enough answers for a percentile
                watching.set()
                watcher.join()
            click.echo(f"{name}: {said} ({spent:.1f} s); memory +{max(most) - settled:.0f} MB; "
                       f"others: p99 {others.p99():.0f} ms, {dict(others.statuses)}")  # fmt: skip


@main.command()
@click.option("--times", default=50, show_default=True)
def sigterm(times: int) -> None:
    """Stop a loaded server again and again; nothing that was accepted may be lost."""
    statuses: Counter[int] = Counter()
    lost: Counter[str] = Counter()
    longest = 0.0
    for _ in range(times):
        with server("weilei", quiet=True) as (url, pid), Clients(url, 8) as clients:
            time.sleep(0.5)
            begun = time.perf_counter()
            os.kill(pid, signal.SIGTERM)
            while _alive(pid):
                time.sleep(0.02)
            longest = max(longest, time.perf_counter() - begun)
        statuses += clients.statuses
        lost += clients.cut_off
    click.echo(f"{times} times: {dict(statuses)}, connections closed without an answer "
               f"{dict(lost)}, longest {longest:.1f} s")  # fmt: skip


@main.command()
def worker() -> None:
    """kill -9 one of two workers and wait until the service answers as before."""
    with server("weilei", WEILEI_SERVE_WORKERS="2") as (url, pid):
        children = Path(f"/proc/{pid}/task/{pid}/children")
        before = set(children.read_text().split())
        victim = next(c for c in before if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text())
        os.kill(int(victim), signal.SIGKILL)
        begun, failed = time.perf_counter(), 0
        while time.perf_counter() - begun < 30:
            try:
                ok = httpx.get(f"{url}/readyz", timeout=5).status_code == 200
            except httpx.TransportError:
                ok = False
            failed += not ok
            if ok and len(set(children.read_text().split()) - {victim}) >= len(before):
                break
            time.sleep(0.05)
        click.echo(f"two workers again after {time.perf_counter() - begun:.1f} s, "
                   f"{failed} requests not answered meanwhile")  # fmt: skip


@main.command()
@click.option("--minutes", default=30.0, show_default=True)
def soak(minutes: float) -> None:
    """Seven tenths of full load for long: memory and descriptors at the start and at the end."""
    with server("weilei") as (url, pid):
        with Clients(url, 16) as full:
            time.sleep(20)
        rate = sum(full.statuses.values()) / 20
        clients = 16
        think = clients / (0.7 * rate)  # on top of the answer's own time
        with Clients(url, clients, think) as load:
            time.sleep(60)
            first = resident(pid), _descriptors(pid)
            until = time.monotonic() + minutes * 60 - 60
            while time.monotonic() < until:
                time.sleep(min(60, max(0.0, until - time.monotonic())))
                click.echo(json.dumps({"MB": round(resident(pid)), "files": _descriptors(pid)}))
            last = resident(pid), _descriptors(pid)
        answers = sum(load.statuses.values())
        click.echo(f"{minutes:.0f} min, {answers / minutes / 60:.0f} answers a second "
                   f"({answers / minutes / 60 / rate:.0%} of {rate:.0f}), {dict(load.statuses)}; "
                   f"memory {first[0]:.0f} → {last[0]:.0f} MB "
                   f"({last[0] / first[0] - 1:+.1%}), "
                   f"descriptors {first[1]} → {last[1]}")  # fmt: skip


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


if __name__ == "__main__":
    main()
