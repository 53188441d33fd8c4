"""Run the server with uvicorn."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from classifier import SuggestionClassifier
from classifier.errors import InputError
from serve.app import create_app, set_up_logging
from serve.files import FILES
from serve.protocol import PatientProtocol
from serve.settings import CONFIG, PREFIX, load_settings

_STOP_WITHIN = 8  # seconds for accepted work after draining
_START_WITHIN = 10  # seconds for a worker to be ready for a signal
log = logging.getLogger("weilei.serve")


def run(config: Path | None = None, **given: Any) -> None:
    """Serve until a signal says stop.

    Raises:
        InputError: the settings are wrong, or the port is in use.
        ModelError: the model folder cannot be used.
    """
    if config is None and CONFIG in os.environ:
        config = Path(os.environ[CONFIG])
    settings = load_settings(config, **given)
    _check_free(settings.host, settings.port)
    set_up_logging()
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": PatientProtocol,
        "ws": "none",  # there are none, and the guard would not see them
        "access_log": False,  # it would hold addresses with their queries
        "log_config": None,
        "log_level": "error",  # its warnings are of single requests, and not JSON
        "timeout_graceful_shutdown": _STOP_WITHIN,
        "server_header": False,
        "date_header": True,
    }
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    line = {"time": round(time.time(), 3), "serving": f"http://{host}:{settings.port}/"}
    if settings.workers == 1:
        app = create_app(settings)
        log.info(json.dumps(line))
        uvicorn.run(app, **options)
        # A table that is being read or written does not look up for minutes, and Python would
        # wait for it; whoever sent it has been told.
        if any(thread.name.startswith(FILES) for thread in threading.enumerate()):
            os._exit(0)
        return
    # A worker could only die of a model that cannot be used, again and again.
    SuggestionClassifier.from_pretrained(
        settings.model, taxonomy=settings.taxonomy, max_error=settings.max_error
    )
    # Workers are new processes: they read the same file and environment again.
    if config is not None:
        os.environ[CONFIG] = str(config)
    for name, value in given.items():
        if value is not None:
            os.environ[PREFIX + name.upper()] = str(value)
    log.info(json.dumps(line))
    setup = uvicorn.Config(
        "serve.app:create_app", factory=True, workers=settings.workers, **options
    )
    _Workers(setup, sockets=[setup.bind_socket()]).run()


class _Workers(Multiprocess):
    """uvicorn's own, except that SIGHUP is for the workers.

    uvicorn would replace them: tables that are being tagged would be lost, and a new
    one that is not ready within seconds, on a busy machine, would be given up.
    """

    def handle_hup(self) -> None:
        for process in self.processes:
            # The signal would end one that is only starting.
            if process.wait_until_ready(_START_WITHIN, self.should_exit) and process.pid:
                os.kill(process.pid, signal.SIGHUP)


def _check_free(host: str, port: int) -> None:
    """Bind and let go, before the model is loaded: uvicorn would say it late and in English."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as trial:
                if os.name == "posix":  # elsewhere it would bind to a port in use
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"端口 {port} 已经有程序在用（也许是另一个 weilei serve），"
                "请先停掉它，或者用 --port 换一个"
            ) from None
        raise InputError(
            f"不能监听 {host} 的端口 {port}（{error.strerror}），请换一个 host 或 port"
        ) from None
