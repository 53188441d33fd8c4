"""The same pipeline behind LitServe, which batches by itself (``pip install litserve``).

A module of its own, since LitServe's workers import the class anew.
"""

from __future__ import annotations

import argparse
from typing import Any

import litserve

from benchmarks.peers_http import load_pipeline


class Pipeline(litserve.LitAPI):  # type: ignore[misc]
    """The pipeline, in batches."""

    def setup(self, device: str) -> None:
        """Load it."""
        self.model = load_pipeline()

    def decode_request(self, request: dict[str, str]) -> str:
        """The text."""
        return request["text"]

    def predict(self, texts: list[str]) -> Any:
        """All labels of each text."""
        return self.model(texts, batch_size=len(texts))

    def encode_response(self, output: Any) -> Any:
        """As they are."""
        return output


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    api = Pipeline(max_batch_size=32, batch_timeout=0.005, api_path="/v1/classify")
    litserve.LitServer(api, accelerator="cpu").run(
        port=parser.parse_args().port, generate_client_file=False, log_level="error"
    )


if __name__ == "__main__":
    main()
