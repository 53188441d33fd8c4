"""What goes wrong around the server: a full disk, and clients that leave in the middle."""

from __future__ import annotations

import json
import logging
import socket
import struct
import sys
import time

import pytest

from serve.app import _Lines
from tests.serving.conftest import Start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="没有 ulimit，也没有这样的断开")


def test_a_full_disk_is_the_servers_fault(start: Start) -> None:
    """A limit on the size of files stands in for it, once the server runs."""
    server = start()
    resource = pytest.importorskip("resource")
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
    with server.client() as client:
        table = ("内容\n" + "路灯坏了半个月没人修\n" * 200_000).encode()
        done = client.post("/v1/files", files={"file": ("a.csv", table)})
        assert (done.status_code, done.json()["title"]) == (507, "存不下")
        assert "服务器存不下" in done.json()["detail"]
        small = client.post("/v1/files", files={"file": ("a.csv", "内容\n灯\n".encode())})
        assert small.status_code == 202
    lines = [json.loads(line) for line in server.logged().splitlines()]
    assert [line["error"] for line in lines if "error" in line] == ["EFBIG"]


def test_clients_that_leave_are_one_line_of_json_each(start: Start) -> None:
    server = start()
    texts = json.dumps({"texts": ["路灯坏了" * 70] * 200}).encode()
    page = b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    many = (
        b"POST /v1/classify/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(texts), texts)
    )
    address = server.url.removeprefix("http://").split(":")
    for request, read, wait in ((many, 0, 0.7), *[(page * 20, 10, 0.005)] * 5):
        connection = socket.create_connection((address[0], int(address[1])), timeout=20)
        connection.sendall(request)
        connection.recv(read) if read else None
        time.sleep(wait)
        linger = struct.pack("ii", 1, 0)  # the connection is reset, not closed
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    time.sleep(2)
    with server.client() as client:
        assert client.get("/healthz").status_code == 200
    lines = [json.loads(line) for line in server.logged().splitlines()]
    assert any(line.get("route") == "/v1/classify/batch" for line in lines)
    assert [line for line in lines if "error" in line or "said" in line] == []


def test_what_others_log_is_a_line_of_json_without_values() -> None:
    said = logging.LogRecord(
        "asyncio", logging.ERROR, "", 1, "%s\nfuture: 金丝雀", ("金丝雀",), None
    )
    try:
        raise ValueError("金丝雀")
    except ValueError:
        failed = logging.LogRecord("uvicorn.error", 40, "", 1, "Exception\n", (), sys.exc_info())
    found = [json.loads(_Lines().format(record)) for record in (said, failed)]
    assert "金丝雀" not in str(found)
    assert found[1]["error"] == "ValueError"
