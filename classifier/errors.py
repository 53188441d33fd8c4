"""Errors that users can act on; every message is a Chinese sentence that says what to do.

::

    WeileiError
    ├── InputError       the user's file, column, label or text        exit code 2
    ├── ModelError       the model folder is missing, altered, foreign exit code 3
    └── MissingExtra     an optional dependency is not installed       exit code 4

Exit code 5 is no error: all was written, but some rows of the file had no text, or
something that could not be read or written as it was, or another sheet holds suggestions, too.
"""

from __future__ import annotations

ROWS_TO_CHECK = 5


class WeileiError(Exception):
    """Base of all errors of the library."""

    exit_code = 1


class InputError(WeileiError, ValueError):
    """The user's file, column, label or text cannot be used."""

    exit_code = 2


class ModelError(WeileiError):
    """The model folder is missing, damaged, altered or from another version."""

    exit_code = 3


class MissingExtra(WeileiError, ImportError):
    """A part of the library needs an extra that is not installed."""

    exit_code = 4

    def __init__(self, extra: str) -> None:
        super().__init__(f"这个功能要先安装：pip install 'weilei[{extra}]'")
