"""Requests that arrive together are classified together.

There is no timer: while the engine works on one batch, what arrives waits for
the next one, so a lone request starts at once and a crowd shares its batches.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from classifier import Prediction
from serve.errors import ProblemError
from serve.metrics import Metrics

Classify = Callable[[list[str]], list[Prediction]]
_MOST_COUNTED = 300  # characters beyond which the model reads no further, about
_SLACK = 2.0  # how much slower than of late a batch may be done
_IN_TIME = 0.6  # share of the deadline after which accepted work should be done


@dataclass
class _Waiting:
    text: str
    cost: int
    result: asyncio.Future[Prediction]


class Batcher:
    """A bounded queue in front of one worker thread.

    Costs are characters that the model will read; `deadline` is the number of
    seconds after which nobody waits for one answer any more. Requests for one text go
    before those for many, and are only refused for the sake of each other, so that somebody
    typing does not wait for a batch.
    """

    def __init__(
        self,
        classify: Classify,
        *,
        max_batch: int,
        max_queue: int,
        deadline: float,
        metrics: Metrics,
    ) -> None:
        self._classify = classify
        self._max_batch, self._max_queue, self._deadline = max_batch, max_queue, deadline
        self._metrics = metrics
        self._single: deque[_Waiting] = deque()
        self._many: deque[_Waiting] = deque()
        self._queued = {False: 0, True: 0}  # by whether it is one of many
        self._speed = 5000.0  # characters a second, a running mean
        self._wake = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="classify")
        self._task = asyncio.create_task(self._work())

    def admit(self, cost: int = 1, many: bool = False) -> None:
        """Refuse work that the queue has no room for; `many` says that it is for many texts.

        Raises:
            ProblemError: 429 with the seconds after which there will be room.
        """
        # On a machine that is busy with other things less is done before the deadline.
        most = min(self._max_queue, self._speed * self._deadline * _IN_TIME)
        queued = self._queued[False] + (self._queued[True] if many else 0)
        if queued and queued + cost > most:
            wait = max(1, math.ceil(queued / self._speed))
            raise ProblemError(429, "现在排队的太多。", {"Retry-After": str(wait)})

    async def submit(self, texts: Sequence[str]) -> list[Prediction]:
        """Predictions of `texts`, in order.

        Cancelling the call takes what has not begun out of the queue.

        Raises:
            ProblemError: 429 when the queue is full, 504 after the deadline.
        """
        loop = asyncio.get_running_loop()
        many = len(texts) > 1
        entries = [_Waiting(t, _cost(t), loop.create_future()) for t in texts]
        cost = sum(e.cost for e in entries)
        self.admit(cost, many)
        (self._many if many else self._single).extend(entries)
        self._count(cost, many)
        self._wake.set()
        gathered = asyncio.gather(*(e.result for e in entries))
        gathered.add_done_callback(_retrieved)
        # Many long texts take longer than that by themselves, and would at every new attempt.
        patience = self._deadline + (_SLACK * cost / self._speed if many else 0.0)
        try:
            return list(await asyncio.wait_for(gathered, patience))
        except TimeoutError:
            raise ProblemError(504) from None

    async def close(self) -> None:
        """Finish what is in the queue, then stop."""
        while any(self._queued.values()):
            await asyncio.sleep(0.01)
        self._task.cancel()
        await asyncio.to_thread(self._pool.shutdown)

    def _count(self, change: int, many: bool) -> None:
        self._queued[many] += change
        self._metrics.queue.set(sum(self._queued.values()))

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        cost = 0
        for queue in (self._single, self._many):
            while queue and (not batch or cost + queue[0].cost <= self._max_batch):
                entry = queue.popleft()
                self._count(-entry.cost, queue is self._many)
                if not entry.result.done():  # the client is gone or its time is over
                    batch.append(entry)
                    cost += entry.cost
        return batch

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._take():
                started = time.perf_counter()
                await self._run(loop, batch)
                spent = time.perf_counter() - started
                self._metrics.batch.observe(len(batch))
                speed = sum(e.cost for e in batch) / max(spent, 1e-6)
                self._speed += 0.1 * (speed - self._speed)

    async def _run(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting]) -> None:
        try:
            found = await loop.run_in_executor(self._pool, self._classify, [e.text for e in batch])
        except Exception as error:
            for entry in batch:
                if not entry.result.done():
                    entry.result.set_exception(error)
            return
        for entry, prediction in zip(batch, found, strict=True):
            if not entry.result.done():
                entry.result.set_result(prediction)
                self._metrics.saw(prediction)


def _retrieved(future: asyncio.Future[list[Prediction]]) -> None:
    """Nobody waits for it any more if the client is gone; asyncio would complain in the log."""
    if not future.cancelled():
        future.exception()


def _cost(text: str) -> int:
    return min(len(text), _MOST_COUNTED) + 8
