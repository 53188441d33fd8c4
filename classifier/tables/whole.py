"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from classifier.errors import InputError


def write_whole(output: Path, save: Callable[[Path], Any]) -> None:
    """Write a file under a temporary name beside `output`, then move it there.

    Raises:
        InputError: no such folder, no permission, disk full, or the file is in use.
    """
    scratch = None
    try:
        handle, name = tempfile.mkstemp(
            dir=output.parent, prefix=f".{output.stem[:80]}-", suffix=output.suffix
        )
        os.close(handle)
        scratch = Path(name)
        save(scratch)
        scratch.chmod(0o644)
        os.replace(scratch, output)
    except OSError as error:
        raise InputError(
            f"写不了 {output}（{error.strerror or error}）。请检查文件夹是否存在、磁盘是否已满、"
            "文件是否正被 Excel 打开，或用 -o 换个位置"
        ) from None
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
