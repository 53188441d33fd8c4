"""What is done of a long job, so that a run that was killed can go on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from classifier.errors import InputError

_FAR = 1 << 40  # a place in no file: what is locked cannot be read on Windows


class Journal:
    """The added cells of the rows done so far, one JSON line each, beside the output.

    Only one run at a time can have it, from :meth:`begin` to the end of the ``with``.

    Args:
        fingerprint: what else would make another job, as JSON; the first line.
    """

    def __init__(self, output: Path, fingerprint: dict[str, Any]) -> None:
        self.path = output.with_name(f".{output.name}.进度")
        self._head = json.dumps(fingerprint).encode() + b"\n"
        self._held: BinaryIO | None = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        if self._held:
            self._held.close()

    def begin(self, resume: bool) -> int:
        """Start anew, or keep what an earlier run of the same job left; gives the rows kept.

        Raises:
            InputError: there is a journal of another job, another run has it, or the folder
                cannot be written.
        """
        kept = 0
        try:
            self._hold()
            if resume and self.path.is_file():
                with self.path.open("r+b") as file:
                    head = file.readline()
                    if head.endswith(b"\n") and head != self._head:
                        raise InputError(
                            f"上次没做完的 {self.path.name} 用的是别的文件、模型或选项，接不上。"
                            "请去掉 --resume 从头做"
                        )
                    end = len(head)
                    for line in file:
                        if line.endswith(b"\n"):  # the last one may be half
                            kept, end = kept + 1, end + len(line)
                    file.truncate(end)
            if not kept:
                self.path.write_bytes(self._head)
        except OSError as error:
            raise self._unwritable(error) from None
        return kept

    def append(self, rows: list[list[Any]]) -> None:
        """Add rows; they are on disk when this returns."""
        # In ASCII, whatever the cells hold.
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        try:
            with self.path.open("ab") as file:
                file.write(lines)
        except OSError as error:
            raise self._unwritable(error) from None

    def rows(self) -> Iterator[list[Any]]:
        """All rows, in order."""
        with self.path.open("rb") as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def remove(self) -> None:
        """The job is done."""
        if self._held and sys.platform == "win32":
            self._held.close()  # an open file cannot be removed there
        self.path.unlink(missing_ok=True)

    def _hold(self) -> None:
        """Lock the journal; the lock ends with the process, however that ends."""
        while self._held is None:
            file = self.path.open("ab")
            if not _lock(file):
                file.close()
                raise InputError(
                    f"{self.path.parent} 里的结果正由另一个 weilei tag 在写（{self.path.name}），"
                    "请等它做完，或用 -o 换个名字"
                )
            with suppress(FileNotFoundError):  # the run before may just have removed it
                if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                    self._held = file
                    return
            file.close()

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"写不了文件夹 {self.path.parent}（{error.strerror or error}）。"
            "请检查是否有权限、磁盘是否已满，或用 -o 换个位置"
        )


def _lock(file: BinaryIO) -> bool:
    """Whether nobody else has the file; True, too, on a disk that knows no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True
