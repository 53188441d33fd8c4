"""A real browser, the real server, and a form on a site of another origin.

The fixtures live for this folder only: Playwright's loop, while it runs, would
be in the way of tests that start their own.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
KEY = "a-key-for-the-tests"
TIMEOUT = 30_000  # ms; a busy machine is slow, nothing here measures it


class Site:
    """A site of its own with one form, under a policy that allows no inline style or script."""

    def __init__(self) -> None:
        self.posts: list[dict[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if url.path == "/style.css":
                    self.answer(_STYLE, "", "text/css")
                    return
                if url.path != "/":
                    self.send_error(404)
                    return
                [server] = parse_qs(url.query)["server"]
                policy = (
                    f"default-src 'none'; script-src {server}; connect-src {server}; "
                    "style-src 'self'; img-src 'self'; form-action 'self'"
                )
                self.answer(_FORM.format(server=html.escape(server)), policy)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                fields = parse_qs(body, keep_blank_values=True)
                site.posts.append({name: values[0] for name, values in fields.items()})
                self.answer("<!doctype html><title>收到了</title><h1>收到了</h1>", "")

            def answer(self, page: str, policy: str, kind: str = "text/html") -> None:
                self.send_response(200)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def form(self, server: str) -> str:
        """Address of the form with the widget of `server`."""
        return f"{self.origin}/?server={server}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


_STYLE = ":root { color-scheme: light dark; background: Canvas; color: CanvasText }"
_FORM = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>市民建议</title>
<link rel="stylesheet" href="/style.css">
<script src="{server}/widget.js" data-target="#suggestion"></script></head>
<body><main><h1>市民建议</h1><form method="post" action="/">
<label for="suggestion">建议</label><br><textarea id="suggestion" name="text"></textarea>
<button>提交</button></form></main></body></html>"""


class Server:
    """``weilei serve`` in a process of its own, on a free port of this machine."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.origin = f"http://127.0.0.1:{port}"
        values = {"files": str(folder / "files"), "rate_limit": "100000/minute", **settings}
        environment = {
            f"WEILEI_SERVE_{name.upper()}": v if isinstance(v, str) else json.dumps(v)
            for name, v in values.items()
        }
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from classifier.cli import main; main()",
             "serve", "--port", str(port)],
            cwd=ROOT, env={**os.environ, **environment}, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        for _ in range(1800):
            if self._process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.origin}/readyz", timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        self.close()
        raise RuntimeError((folder / "server.log").read_text(encoding="utf-8", errors="replace"))

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.origin}{path}", timeout=30) as answer:
            return json.load(answer)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="没有装 playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("没有装 chromium")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.close()


@pytest.fixture(scope="package")
def serve(
    browser: Any, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Start a server that lets the site call it; stopped at the end."""
    started = []

    def start(**settings: Any) -> Server:
        server = Server(tmp_path_factory.mktemp("serve"), allow_origins=[site.origin], **settings)
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="package")
def server(serve: Callable[..., Server]) -> Server:
    return serve()


@pytest.fixture(scope="package")
def keyed(serve: Callable[..., Server]) -> Server:
    return serve(api_keys=[hashlib.sha256(KEY.encode()).hexdigest()])


class Tab:
    """A page in a context of its own, and whatever its console complained of."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(locale="zh-CN", **options)
        self.context.set_default_timeout(TIMEOUT)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)

    def _listen(self, message: Any) -> None:
        # A refused request is logged by the browser itself; the page has to live with it.
        if message.type in ("error", "warning") and "Failed to load" not in message.text:
            self.complaints.append(message.text)

    def problems(self) -> list[str]:
        """Serious and critical findings of axe-core."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{v['id']}: {[n['target'] for n in v['nodes']][:5]}"
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Open a tab; when the test is over, none may have complained (of the CSP, say)."""
    opened: list[Tab] = []

    def new(**options: Any) -> Tab:
        opened.append(Tab(browser, **options))
        return opened[-1]

    yield new
    for one in opened:
        one.page.unroute_all(behavior="ignoreErrors")
        one.context.close()
    assert [c for one in opened for c in one.complaints] == []
