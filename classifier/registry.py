"""The models that were trained on this machine, and which one is in use.

::

    <WEILEI_HOME, or the user's data folder>/
        current               id of the model in use; absent: the shipped one
        models/<id>/          a model folder
        models/<id>.json      when, on how many items it was tested, how it did
        models/<id>-报告.html  the report of its training

Models are only added, each under its own id, so that switching is a matter of
one small file, which is replaced as a whole.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from classifier.bundle import MANIFEST, recover, shipped_model
from classifier.errors import InputError, ModelError

SHIPPED = "shipped"


@dataclass(frozen=True)
class Version:
    """One model that can be switched to.

    Attributes:
        id: of the model, or ``shipped``.
        path: its folder.
        record: what was written down when it was trained: ``when``, ``accuracy``, ``n_test``;
            empty if there is none that can be read.
        in_use: whether it is what commands and ``from_pretrained()`` load by default.
    """

    id: str
    path: Path
    record: dict[str, Any]
    in_use: bool


def home() -> Path:
    """The folder of this machine's models: ``WEILEI_HOME``, or the user's data folder."""
    chosen = os.environ.get("WEILEI_HOME")
    return Path(chosen) if chosen else user_data_path("weilei", appauthor=False)


def models_folder() -> Path:
    """Where trained models are kept; made if missing.

    Raises:
        InputError: it cannot be made, or not be written in.
    """
    folder = home() / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"写不了文件夹 {folder}（{error.strerror}），请用环境变量 WEILEI_HOME 换个位置"
        ) from None
    return folder


def current() -> str:
    """Id of the model in use.

    Raises:
        InputError: the pointer cannot be read.
    """
    pointer = home() / "current"
    try:
        # What cannot be decoded is the id of no model, which is said where one is loaded.
        return pointer.read_text(encoding="utf-8-sig", errors="replace").strip() or SHIPPED
    except FileNotFoundError:
        return SHIPPED
    except OSError as error:
        raise InputError(
            f"读不了 {pointer}（{error.strerror}），请用环境变量 WEILEI_HOME 换个文件夹"
        ) from None


def model_in_use() -> Path:
    """Folder of the model in use.

    Raises:
        ModelError: it is no longer there.
    """
    chosen = current()
    if chosen == SHIPPED:
        return shipped_model()
    path = home() / "models" / chosen
    recover(path)
    if not (path / MANIFEST).is_file():
        raise ModelError(
            f"正在用的模型 {chosen} 不在 {path.parent} 里了。"
            "请用 weilei models use shipped 换回随软件带的模型"
        )
    return path


def versions() -> list[Version]:
    """The shipped model and all trained here, oldest first."""
    chosen = current()
    found = [Version(SHIPPED, shipped_model(), {}, chosen == SHIPPED)]
    for manifest in (home() / "models").glob(f"*/{MANIFEST}"):
        path = manifest.parent
        if not path.name.startswith("."):
            record = _record(path.with_name(f"{path.name}.json"))
            found.append(Version(path.name, path, record, path.name == chosen))
    return sorted(found, key=lambda v: str(v.record.get("when", "")))


def _record(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {**found, "accuracy": float(found["accuracy"]), "n_test": int(found["n_test"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def use(model_id: str) -> Version:
    """Make a model the one in use.

    Raises:
        InputError: no such model, or the pointer cannot be written.
    """
    known = {v.id: v for v in versions()}
    if model_id not in known:
        raise InputError(f"没有 {model_id} 这个模型。现有的：{'、'.join(known)}")
    from classifier.tables.whole import write_whole  # brings openpyxl, which is slow to import

    models_folder()
    write_whole(home() / "current", lambda path: path.write_text(model_id, encoding="utf-8"))
    return known[model_id]
