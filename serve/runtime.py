"""The parts that live as long as the server: classifier, queue, files, state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from classifier import Prediction, SuggestionClassifier
from classifier.bundle import CARD
from serve.batching import Batcher
from serve.errors import ProblemError
from serve.files import Files
from serve.metrics import Metrics
from serve.settings import Settings

log = logging.getLogger("weilei.serve")


class Runtime:
    """What the routes share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.classifier, self.card = self._load()
        self._before: SuggestionClassifier | None = None
        self.files = Files(settings, lambda: self.classifier, lambda: self.draining)
        self.batcher: Batcher | None = None
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether new work should be sent here."""
        return self.batcher is not None and not self.draining

    def admit(self, cost: int = 1, many: bool = False) -> None:
        """Refuse a request before its body is read, if there is no room for `cost` characters.

        Args:
            many: of several texts.

        Raises:
            ProblemError: 429 or 503.
        """
        if self.batcher is None:
            raise ProblemError(503, headers={"Retry-After": "1"})
        self.batcher.admit(cost, many)

    async def reload(self) -> bool:
        """Load the model folder again; the old model stays if the new one is not whole."""
        try:
            fresh = await asyncio.to_thread(self._load)
        except Exception as error:  # whatever is wrong with the folder, the old model stays
            log.error('{"reload": "refused", "error": "%s"}', type(error).__name__)
            return False
        # The engine must not be taken down under a request that still runs on it: the process
        # died of that. The old one goes when the next one comes.
        self._before, (self.classifier, self.card) = self.classifier, fresh
        log.info('{"reload": "done", "model": "%s"}', self.classifier.model_id)
        return True

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """From start to stop: accepted work is finished before it ends."""
        self.batcher = Batcher(
            self._classify,
            max_batch=self.settings.max_batch,
            max_queue=self.settings.max_queue,
            deadline=self.settings.deadline,
            metrics=self.metrics,
        )
        keepers = [asyncio.create_task(w) for w in (self.files.sweep(), self.files.beat())]
        try:
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()
            await self.files.close()
            await self.batcher.close()

    def _load(self) -> tuple[SuggestionClassifier, str]:
        """The classifier, and what its folder says of it now: the folder may change later."""
        s = self.settings
        classifier = SuggestionClassifier.from_pretrained(
            s.model, taxonomy=s.taxonomy, max_error=s.max_error, threads=s.threads
        )
        classifier.predict(["热身"])  # the first call builds the kernels
        card = classifier.bundle.path / CARD
        return classifier, card.read_text(encoding="utf-8") if card.is_file() else ""

    def _classify(self, texts: list[str]) -> list[Prediction]:
        return self.classifier.predict(texts)
