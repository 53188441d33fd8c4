"""What goes wrong around the server: a full disk, and clients that leave in the middle."""

from __future__ import annotations

import json
import sys

import pytest

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
