"""Signals: stop without losing what was accepted, and load a new model."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType

from serve.runtime import Runtime


def on_signals(runtime: Runtime) -> None:
    """SIGTERM and SIGINT drain; SIGHUP loads the model folder again.

    Whoever sends requests here needs a moment to see that ``/readyz`` is 503
    now, so the server goes on accepting for `drain` seconds and only then
    hands the signal to uvicorn, which finishes what it has accepted.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # in a test client; signals only reach the main thread
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(name)

        def stop(number: int, frame: FrameType | None, before: object = before) -> None:
            runtime.draining = True
            if callable(before):
                loop.call_soon_threadsafe(
                    lambda: loop.call_later(runtime.settings.drain, before, number, frame)
                )

        signal.signal(name, stop)
    if hasattr(signal, "SIGHUP"):
        tasks: set[asyncio.Task[bool]] = set()  # a task nobody holds may vanish

        def reload() -> None:
            task = asyncio.create_task(runtime.reload())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
