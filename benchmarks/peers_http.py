"""What one would write in an afternoon: a pipeline behind FastAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import torch
from fastapi import FastAPI, Request
from pydantic import BaseModel
from transformers import pipeline

from classifier.bundle import shipped_model


class Body(BaseModel):
    """One text."""

    text: str


def load_pipeline() -> Any:
    """The shipped model's weights in transformers' own pipeline."""
    folder = str(shipped_model())
    # The file holds half precision, in which a processor is many times slower.
    return pipeline(
        "text-classification", folder, tokenizer=folder, dtype=torch.float32,
        truncation=True, top_k=None,
    )  # fmt: skip


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    app.state.model = load_pipeline()
    yield


plain = FastAPI(lifespan=_life)


@plain.post("/v1/classify")
def classify(body: Body, request: Request) -> Any:
    """Classify in a thread of FastAPI's pool."""
    return request.app.state.model(body.text)
