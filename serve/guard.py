"""The outermost layer: everything a request has to pass before it is parsed.

Pure ASGI, so that a refusal costs next to nothing. In this order: a number for
the request, the key, the rate, the size of the body, the time it may take to
arrive. Behind it, whatever goes wrong becomes problem details, and one line of
metadata is logged: never the text, the query or the message of an exception.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.responses import JSONResponse

from serve.errors import ProblemError, problem
from serve.metrics import Metrics
from serve.settings import Settings

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UPLOADS = "/v1/files"
CLASSIFY, MANY = b"/v1/classify", b"/v1/classify/batch"
log = logging.getLogger("weilei.serve")
_PAGE_POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    b"form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", _PAGE_POLICY),
]
NO_STORE = (b"cache-control", b"no-store")


class Guard:
    """ASGI middleware around the application."""

    def __init__(
        self, app: App, settings: Settings, metrics: Metrics, admit: Callable[[int, bool], None]
    ) -> None:
        self.app, self.settings, self.metrics, self.admit = app, settings, metrics, admit
        self._keys = frozenset(settings.api_keys)
        self._rate: RateLimitItem = parse(settings.rate_limit)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number, started, status, sent = uuid.uuid4().hex, time.perf_counter(), 500, False
        replaced = False
        scope.setdefault("state", {}).update(request_id=number, head=scope["method"] == "HEAD")
        # What can be got can be asked about; uvicorn, which keeps its own scope, sends no body.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        inner = {**scope, "method": method}

        async def answer(message: Message) -> None:
            nonlocal status, sent, replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                status, sent = message["status"], True
                named = dict(message["headers"])
                # Starlette's own refusal of a Range, in English.
                if status >= 400 and named.get(b"content-type", b"").startswith(b"text/plain"):
                    await answered(scope, _of_range(status, named))(scope, receive, answer)
                    replaced = True
                    return
                extra = [*HEADERS, (b"x-request-id", number.encode())]
                if scope["path"].startswith("/v1/") or scope["path"] == "/metrics":
                    extra.append(NO_STORE)
                message = {
                    **message,
                    "headers": [*message["headers"], *(h for h in extra if h[0] not in named)],
                }
            await send(message)

        try:
            self._check(inner)
            await self.app(inner, self._bounded(inner, receive), answer)
        except Exception as error:  # the last line: no exception reaches the log as it is
            found = error if isinstance(error, ProblemError) else None
            if found is None:
                _log_failure(error, number)
            if not sent:
                await answered(scope, found or ProblemError(500))(scope, receive, answer)
        finally:
            spent = time.perf_counter() - started
            route = getattr(inner.get("route"), "path", "")
            self.metrics.requests.labels(_method(scope), route, status).inc()
            self.metrics.latency.labels(route).observe(spent)
            log.info(
                json.dumps(
                    {
                        "time": round(time.time(), 3),
                        "request": number,
                        "method": _method(scope),
                        "route": route,
                        "status": status,
                        "ms": round(spent * 1000, 1),
                    }
                )
            )

    def _check(self, scope: Scope) -> None:
        path = scope["path"]
        if not path.startswith("/v1/") or scope["method"] == "OPTIONS":
            return
        headers = dict(scope["headers"])
        # A form of another site needs nobody's leave to send a file, and no key on loopback.
        foreign = headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if foreign and scope["method"] != "GET" and origin not in self.settings.allow_origins:
            raise ProblemError(403)
        if self._keys:
            given = hashlib.sha256(headers.get(b"x-api-key", b"")).hexdigest()
            if given not in self._keys:
                raise ProblemError(401, headers={"WWW-Authenticate": 'ApiKey realm="weilei"'})
            scope["state"]["key"] = given
            if not self._limiter.hit(self._rate, given):
                stats = self._limiter.get_window_stats(self._rate, given)
                wait = max(1, round(stats.reset_time - time.time()))
                raise ProblemError(429, "这把钥匙用得太频繁。", {"Retry-After": str(wait)})
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most(path):
            raise ProblemError(413, headers={"Connection": "close"})
        if path.startswith(CLASSIFY.decode()):
            self.admit(1, path.startswith(MANY.decode()))

    def _most(self, path: str) -> int:
        return self.settings.max_upload if _uploads(path) else self.settings.max_body

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        most, taken = self._most(scope["path"]), 0
        # A large file may take as long as its size asks for, at 100 kB a second.
        patience = self.settings.slow_client + (most / 100_000 if _uploads(scope["path"]) else 0)
        until = time.monotonic() + patience
        complete = False

        async def bounded() -> Message:
            nonlocal taken, complete
            if complete:  # what comes after the body is the client going away, whenever it likes
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.01, until - time.monotonic()))
            except TimeoutError:
                raise ProblemError(408, headers={"Connection": "close"}) from None
            taken += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if taken > most:
                raise ProblemError(413, headers={"Connection": "close"})
            return message

        return bounded


def _uploads(path: str) -> bool:
    return path in (UPLOADS, f"{UPLOADS}/")  # the second is sent on to the first


def answered(scope: Scope, error: ProblemError) -> JSONResponse:
    """An error as the answer to a request, with the number of the request."""
    instance = f"urn:uuid:{uuid.UUID(scope['state']['request_id'])}"
    return problem(error.status, error.detail, error.headers, instance)


def _of_range(status: int, headers: dict[bytes, bytes]) -> ProblemError:
    if status != 416:
        return ProblemError(status, "请求头 Range 写得不对，请从头下载。")
    return ProblemError(416, headers={"Content-Range": headers[b"content-range"].decode()})


def _method(scope: Scope) -> str:
    known = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
    return scope["method"] if scope["method"] in known else "other"


def _log_failure(error: Exception, number: str) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in frames[-5:]]
    log.error(json.dumps({"request": number, "error": type(error).__name__, "where": where}))
