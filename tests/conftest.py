"""Shared parts: the shipped model, loaded once, and a way to run the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier import SuggestionClassifier

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of this machine's user are neither read nor changed by tests."""
    folder = tmp_path_factory.mktemp("home")
    os.environ["WEILEI_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def clf(home: Path) -> SuggestionClassifier:
    return SuggestionClassifier.from_pretrained()


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def weilei() -> Run:
    """The installed command, in a process of its own."""

    def run(
        *args: object, cwd: Path | None = None, home: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("weilei")), *map(str, args)],
            capture_output=True, text=True, encoding="utf-8", cwd=cwd, timeout=1800,
            env={**os.environ, "PYTHONUTF8": "1", "COLUMNS": "120",
                 **({"WEILEI_HOME": str(home)} if home else {})},
        )  # fmt: skip

    return run
