"""HTTP/1.1 for uvicorn that waits for no client for ever, and refuses before anything is parsed."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve.refusals import refused

# Seconds until a refusal is said. Clients that ask again at once would otherwise
# be refused thousands of times a second and eat the cores that classify.
_HOLD = 0.04
_MOST_HEAD = 65_536  # bytes of target and headers
log = logging.getLogger("weilei.serve")


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's own protocol with limits on the headers, and a short way to refuse.

    A refused request never becomes a task, so refusing it costs less than in the application.

    Attributes:
        patience: seconds from the first byte of a request to the end of its headers (of its body
            if it is refused), and that an answer may wait to be read on.
        refusal: target and headers of a request → the whole answer if it is to be refused.
    """

    patience = 10.0
    refusal: Callable[[bytes, list[tuple[bytes, bytes]]], bytes | None] = staticmethod(
        lambda target, headers: None
    )
    _timer: asyncio.TimerHandle | None = None
    _answer: bytes | None = None  # to the refused request that is being read or was read last
    _held: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    # Bytes of headers or trailers that are still coming, without those of the piece in which
    # they began.
    _head: int | None = None
    _fault = 400  # of a request that cannot be parsed

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cycles: list[Any] = []  # requests that came behind one another, not yet answered

    def connection_made(self, transport: Any) -> None:
        """Start the clock: a connection that says nothing is slow, too."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Start the clock for the next request of the connection."""
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start()
        if self._head is not None:
            self._head += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._head is not None and self._head > _MOST_HEAD:
            self._end(431)

    def send_400_response(self, msg: str) -> None:
        """To what is no HTTP, or was found at fault while it was parsed."""
        self._end(self._fault)

    def on_message_begin(self) -> None:
        """A client that does not wait for its answer gets it now, before the next one's."""
        self._refuse()
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse, or stop the clock: from now on the guard watches the body."""
        self._head = None
        if len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers) > _MOST_HEAD:
            self._fault = 431
            raise ValueError  # the parser stops
        if self.parser.should_upgrade():
            return  # it comes again
        idle = self.cycle is None or self.cycle.response_complete
        if idle and not self.expect_100_continue:
            self._answer = self.refusal(self.url, self.headers)
        if self._answer is None:
            self._stop()
            super().on_headers_complete()
            if self.cycle is not None:
                self._cycles = [c for c in self._cycles if not c.response_complete] + [self.cycle]

    def on_chunk_header(self) -> None:
        """What follows may be trailers, which are kept as headers are."""
        self._head = 0

    def on_body(self, body: bytes) -> None:
        """Of a refused request nothing is kept."""
        self._head = None
        if self._answer is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Say the refusal a little later."""
        self._head = None
        if self.parser.should_upgrade():
            return
        if self._answer is None:
            super().on_message_complete()
            return
        self._stop()
        if not self.parser.should_keep_alive():
            self._refuse()
            self.transport.close()
        else:
            self._held = self.loop.call_later(_HOLD, self._refuse)

    def pause_writing(self) -> None:
        """The client does not read as fast as we write; one that does not read at all is slow."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads."""
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def shutdown(self) -> None:
        """Owe nobody an answer."""
        self._refuse()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing left to watch."""
        self._stop()
        for timer in (self._held, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        # uvicorn tells only the last of several requests, and the one being answered would go on.
        for cycle in self._cycles:
            cycle.disconnected = cycle.disconnected or not cycle.response_complete
            cycle.message_event.set()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("")
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on(data[upgrade.args[0] :])

    def _go_on(self, rest: bytes) -> None:
        """An offer to change the protocol, as Java makes for HTTP/2, is not taken.

        The parser stops there and drops the body; a new one gets the request without the offer.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._end(400)
            return
        close = [] if self.parser.should_keep_alive() else [(b"connection", b"close")]
        version = self.parser.get_http_version().encode()
        lines = [method + b" " + self.url + b" HTTP/" + version]
        own = (b"connection", b"upgrade", b"http2-settings")
        headers = [(n, v) for n, v in self.headers if n not in own]
        lines += [name + b": " + value for name, value in [*headers, *close]]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._feed(b"\r\n".join([*lines, b"", rest]))

    def _refuse(self) -> None:
        if self._answer is None:
            return
        if self._held is not None:
            self._held.cancel()
        answer, self._answer, self._held = self._answer, None, None
        if not self.transport.is_closing():
            self.transport.write(answer)
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _end(self, status: int) -> None:
        """Say what is wrong and hang up."""
        self._head = None
        if not self.transport.is_closing():
            log.info(json.dumps({"time": round(time.time(), 3), "status": status}))
            self.transport.write(refused(status, "", (("Connection", "close"),)))
            self.transport.close()

    def _start(self) -> None:
        self._timer = self.loop.call_later(self.patience, self.transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
