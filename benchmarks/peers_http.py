"""What one would write in an afternoon: a pipeline behind FastAPI, and behind LitServe."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel
from transformers import pipeline

from classifier.bundle import shipped_model


class Body(BaseModel):
    """One text."""

    text: str


def _pipeline() -> Any:
    folder = str(shipped_model())
    return pipeline("text-classification", folder, tokenizer=folder, truncation=True, top_k=None)


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    app.state.model = _pipeline()
    yield


plain = FastAPI(lifespan=_life)


@plain.post("/v1/classify")
def classify(body: Body, request: Request) -> list[dict[str, Any]]:
    """Classify in a thread of FastAPI's pool."""
    found: list[dict[str, Any]] = request.app.state.model(body.text)
    return found


def main() -> None:
    """LitServe with its own batching."""
    import litserve

    class Pipeline(litserve.LitAPI):  # type: ignore[misc]
        """The same pipeline, in batches."""

        def setup(self, device: str) -> None:
            self.model = _pipeline()

        def decode_request(self, request: dict[str, str]) -> str:
            return request["text"]

        def predict(self, texts: list[str]) -> Any:
            return self.model(texts, batch_size=len(texts))

        def encode_response(self, output: Any) -> Any:
            return output

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    api = Pipeline(max_batch_size=32, batch_timeout=0.005, api_path="/v1/classify")
    litserve.LitServer(api, accelerator="cpu").run(
        port=parser.parse_args().port, generate_client_file=False, log_level="error"
    )


if __name__ == "__main__":
    main()
