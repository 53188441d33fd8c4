"""Files that appear whole or not at all."""

from __future__ import annotations

import filecmp
import os
import re
import secrets
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from classifier.errors import InputError

_RANDOM = 8  # hexadecimal digits
_ROWS = ".rows"


def _around(output: Path) -> tuple[str, str]:
    """What stands before and after the random digits of a temporary name."""
    return f".{output.stem[:80]}-", output.suffix


def rows_folder(path: Path) -> Path:
    """Hidden folder beside `path` for what is needed while that is written."""
    return path.with_name(f".{path.stem.lstrip('.')}{_ROWS}")


def remove_leftovers(output: Path) -> None:
    """Remove what runs that were killed while they wrote `output` left; none may be under way."""
    before, after = map(re.escape, _around(output))
    left = re.compile(f"{before}[0-9a-f]{{{_RANDOM}}}(?:{after}|{re.escape(_ROWS)})")
    for path in output.parent.iterdir():
        if not left.fullmatch(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def older_name(output: Path, ending: str = "") -> Path | None:
    """Another name for the file that is there, if any: somebody may have worked in it.

    Args:
        ending: what its name without suffix shall still end with.
    """
    if not output.is_file():
        return None
    when = datetime.fromtimestamp(output.stat().st_mtime)
    stem = output.stem.removesuffix(ending)
    return output.with_name(f"{stem}-旧{when:%Y%m%d-%H%M%S}{ending}{output.suffix}")


def write_whole(output: Path, save: Callable[[Path], Any], aside: Path | None = None) -> bool:
    """Write a file under a temporary name beside `output`, then move it there.

    Args:
        aside: what becomes of another file that was there: its new name. By default it goes.

    Returns:
        Whether a file was put aside.

    Raises:
        InputError: no such folder, no permission, disk full, or the file is in use.
    """
    scratch = None
    try:
        before, after = _around(output)
        path = output.with_name(before + secrets.token_hex(_RANDOM // 2) + after)
        path.open("xb").close()  # who may read it is for the user's umask to say
        scratch = path
        save(scratch)
        kept = aside is not None and output.is_file() and not filecmp.cmp(scratch, output, False)
        if kept and aside:
            os.replace(output, aside)
        os.replace(scratch, output)
        return kept
    except OSError as error:
        raise InputError(
            f"写不了 {output}（{error.strerror or error}）。请检查文件夹是否存在、磁盘是否已满、"
            "文件是否正被 Excel 打开，或用 -o 换个位置"
        ) from None
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
