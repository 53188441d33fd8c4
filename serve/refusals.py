"""Refusals that never reach the application, for the time when there are thousands a second."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from functools import lru_cache

from serve.errors import ProblemError, problem
from serve.guard import CLASSIFY, HEADERS, MANY, NO_STORE
from serve.metrics import Metrics

log = logging.getLogger("weilei.serve")
# Of a request whose body is not read yet, in characters; and the seconds until it is in the queue.
_TYPICAL, _UNDER_WAY = 200, 0.02


class Refusals:
    """What :class:`serve.protocol.PatientProtocol` asks before a request becomes a task."""

    def __init__(self, admit: Callable[[int, bool], None], metrics: Metrics) -> None:
        self._admit = admit
        self._count = metrics.requests
        self._said, self._unsaid = 0.0, 0
        self._coming = 0

    def __call__(self, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes | None:
        """The answer to a request that there is no room for, or None.

        A page of another site needs its CORS headers to read a refusal; the
        application refuses those.
        """
        if not target.startswith(CLASSIFY) or any(name == b"origin" for name, _ in headers):
            return None
        try:
            # Whoever was let in a moment ago is not in the queue yet, and would leave no room.
            self._admit(self._coming + _TYPICAL, target.startswith(MANY))
        except ProblemError as error:
            self._log(error.status)
            return refused(error.status, error.detail, tuple(error.headers.items()))
        self._coming += _TYPICAL
        asyncio.get_running_loop().call_later(_UNDER_WAY, self._arrived)
        return None

    def _arrived(self) -> None:
        self._coming -= _TYPICAL

    def _log(self, status: int) -> None:
        """One line a second at most."""
        self._count.labels("POST", "", status).inc()
        self._unsaid += 1
        now = time.time()
        if now - self._said >= 1:
            log.info(json.dumps({"time": round(now, 3), "status": status, "refused": self._unsaid}))
            self._said, self._unsaid = now, 0


@lru_cache(maxsize=64)
def refused(status: int, detail: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """A whole answer, as it goes over the wire."""
    response = problem(status, detail, dict(headers))
    lines = [f"HTTP/1.1 {status} Refused".encode()]
    for name, value in [*response.raw_headers, *HEADERS, NO_STORE]:
        lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", bytes(response.body)])
