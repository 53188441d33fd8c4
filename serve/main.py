"""Run the server with uvicorn."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import uvicorn

from serve.app import create_app
from serve.protocol import PatientProtocol
from serve.settings import CONFIG, PREFIX, load_settings

_STOP_WITHIN = 8  # seconds for accepted work after draining


def run(config: Path | None = None, **given: Any) -> None:
    """Serve until a signal says stop.

    Raises:
        InputError: the settings are wrong.
        ModelError: the model folder cannot be used.
    """
    settings = load_settings(config, **given)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": PatientProtocol,
        "access_log": False,  # it would hold addresses with their queries
        "log_config": None,
        "log_level": "warning",
        "timeout_graceful_shutdown": _STOP_WITHIN,
        "server_header": False,
        "date_header": True,
    }
    logging.getLogger("weilei.serve").setLevel(logging.INFO)
    if settings.workers == 1:
        uvicorn.run(create_app(settings), **options)
        return
    # Workers are new processes: they read the same file and environment again.
    if config is not None:
        os.environ[CONFIG] = str(config)
    for name, value in given.items():
        if value is not None:
            os.environ[PREFIX + name.upper()] = str(value)
    uvicorn.run("serve.app:create_app", factory=True, workers=settings.workers, **options)
