"""Refusals before the application, on real connections: order, keep-alive, nothing lost."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from serve.errors import ProblemError
from serve.metrics import Metrics
from serve.protocol import PatientProtocol
from serve.refusals import Refusals

BODY = '{"text": "路灯坏了"}'.encode()


class Room:
    """Stands in for the queue: what is tested here is what happens when it is full."""

    def __init__(self) -> None:
        self.full = False

    def admit(self, cost: int, many: bool) -> None:
        if self.full:
            raise ProblemError(429, "现在排队的太多。", {"Retry-After": "3"})


async def app(scope, receive, send):  # type: ignore[no-untyped-def]
    """Answers with the target and the length of the body."""
    if scope["type"] != "http":
        return
    taken, more = 0, True
    while more:
        message = await receive()
        taken += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = f"{scope['path']} {taken}".encode()
    if scope["path"] == "/large":
        body *= 1_000_000
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def address(
    room: Room, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(PatientProtocol, "refusal", staticmethod(Refusals(room.admit, metrics)))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, http=PatientProtocol, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()
        server.should_exit = True
        thread.join()


def request(target: str, body: bytes = BODY, extra: str = "") -> bytes:
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def answers(connection: socket.socket, n: int) -> list[tuple[int, bytes]]:
    """Status and body of the next `n` answers."""
    found, stream = [], connection.makefile("rb")
    for _ in range(n):
        status = int(stream.readline().split()[1])
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"content-length" else length
        found.append((status, stream.read(length)))
    return found


def test_one_connection_is_refused_and_then_served(
    address: tuple[str, int], room: Room, metrics: Metrics
) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        room.full = True
        for _ in range(2):
            connection.sendall(request("/v1/classify"))
            [(status, body)] = answers(connection, 1)
            assert status == 429
            assert "现在排队的太多" in body.decode()
        connection.sendall(request("/v1/taxonomy"))
        assert answers(connection, 1)[0][0] == 200
        room.full = False
        connection.sendall(request("/v1/classify"))
        assert answers(connection, 1) == [(200, b"/v1/classify %d" % len(BODY))]
    assert b'status="429"} 2.0' in metrics.text()


def test_pipelined_requests_are_answered_in_order(address: tuple[str, int], room: Room) -> None:
    room.full = True
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(
            request("/v1/classify") + request("/v1/taxonomy") + request("/v1/classify/batch")
            + request("/v1/model") + request("/v1/classify")
        )  # fmt: skip
        found = answers(connection, 5)
    # One that waits behind another is not refused here but by the application.
    assert [status for status, _ in found][:2] == [429, 200]
    assert found[1][1].startswith(b"/v1/taxonomy")
    assert found[3][1].startswith(b"/v1/model")


def test_a_refused_body_may_come_in_pieces_and_is_not_kept(
    address: tuple[str, int], room: Room
) -> None:
    room.full = True
    body = b"x" * 3_000_000
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request("/v1/classify", body))
        connection.sendall(request("/healthz"))
        assert [status for status, _ in answers(connection, 2)] == [429, 200]


def test_who_does_not_keep_the_connection_gets_the_refusal_and_the_end(
    address: tuple[str, int], room: Room
) -> None:
    room.full = True
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request("/v1/classify", extra="Connection: close\r\n"))
        assert answers(connection, 1)[0][0] == 429
        assert connection.recv(1) == b""


def test_a_page_of_another_site_is_left_to_the_application(
    address: tuple[str, int], room: Room
) -> None:
    room.full = True
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request("/v1/classify", extra="Origin: https://city.example\r\n"))
        assert answers(connection, 1)[0][0] == 200


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"HELLO / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"CONNECT city.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 11_000 + b"\r\n", 431),
        (b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ],
)
def test_what_cannot_be_parsed_gets_a_problem_and_the_end(
    address: tuple[str, int], said: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), socket.create_connection(address, timeout=10) as connection:
        connection.sendall(said)
        [(found, body)] = answers(connection, 1)
        assert (found, json.loads(body)["status"]) == (status, status)
        assert connection.recv(1) == b""
    [line] = [r.getMessage() for r in caplog.records if r.name == "weilei.serve"]
    assert json.loads(line)["status"] == status


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_offer_of_another_protocol_loses_no_body(
    address: tuple[str, int], room: Room, protocol: str
) -> None:
    """Java's own client makes such an offer with its first request."""
    offer = (
        f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMA\r\n"
    )
    whole = request("/v1/classify", extra=offer)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(whole + request("/v1/model"))
        found = answers(connection, 2)
        for piece in (whole[:30], whole[30:-5], whole[-5:]):
            connection.sendall(piece)
            time.sleep(0.1)
        found += answers(connection, 1)
        room.full = True
        connection.sendall(whole)
        found += answers(connection, 1)
    assert found[0] == found[2] == (200, b"/v1/classify %d" % len(BODY))
    assert found[1] == (200, b"/v1/model %d" % len(BODY))
    assert found[3][0] == 429


def test_headers_without_end_are_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 50_000_000:
                connection.sendall(b"a" * 10_000)
                sent += 10_000
        assert sent < 50_000_000


@pytest.mark.parametrize("piece", [b"a: b\r\n" * 1000, b"a" * 6000])
def test_trailers_without_end_are_cut_off(address: tuple[str, int], piece: bytes) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"2\r\nab\r\n0\r\na: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 50_000_000:
                connection.sendall(piece)
                sent += len(piece)
        assert sent < 50_000_000


def test_chunks_are_no_headers(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head)
        for _ in range(3):
            connection.sendall(b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n")
        connection.sendall(b"0\r\na: b\r\n\r\n")
        assert answers(connection, 1) == [(200, b"/ 300000")]


def test_large_bodies_behind_one_another_are_no_large_headers(address: tuple[str, int]) -> None:
    piece = request("/v1/taxonomy", b"x" * 100_000)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(piece * 3)
        assert [status for status, _ in answers(connection, 3)] == [200] * 3


def test_who_does_not_read_the_answer_is_let_go(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientProtocol, "patience", 0.5)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request("/large"))
        assert answers(connection, 1)[0][0] == 200  # slowly, but without end
        connection.sendall(request("/large"))
        time.sleep(2)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 20):
                taken += len(part)
        assert taken < 9_000_000
