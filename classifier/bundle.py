"""A model folder: data with a manifest, written whole or not at all, verified on loading.

::

    manifest.json        format, id, sizes, SHA-256 of every other file
    model.onnx           encoder for ONNX Runtime        ┐
    ngrams.npz           second opinion on wording       │
    tokenizer.json       tokenizer                       │ runtime part,
    taxonomy.toml        categories                      │ also in the wheel
    calibration.json     temperature, thresholds, curve  │
    config.json          shape and outputs,              │
    tokenizer_config.json  as transformers reads them    │
    MODEL_CARD.md        what it is and where it fails   ┘
    model.safetensors    the same weights for transformers: training part, may be absent
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.errors import InputError, ModelError
from classifier.taxonomy import Taxonomy

FORMAT = 2
DEFAULT = "weilei-small"
MANIFEST = "manifest.json"
NGRAMS = "ngrams.npz"
RUNTIME_FILES = (
    "model.onnx",
    NGRAMS,
    "tokenizer.json",
    "taxonomy.toml",
    "calibration.json",
    "config.json",
    "tokenizer_config.json",
)
CARD = "MODEL_CARD.md"
# What file managers leave behind is not part of a model, nor a sign of tampering.
_CLUTTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
_AGAIN = "请重新安装 weilei，或换一个完整的模型文件夹"


def shipped_model(name: str = DEFAULT) -> Path:
    """Folder of a model that comes with the library: in the wheel or in the source tree."""
    here = Path(__file__).resolve().parent
    packaged = here / "_models" / name
    return packaged if packaged.is_dir() else here.parent / "models" / name


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities and probabilities into a lane.

    Attributes:
        ngram_weight: what a margin of the n-grams counts beside the encoder's logits.
        temperature: divides the sum before the softmax (Guo et al. 2017,
            arXiv:1706.04599).
        encoder_share: how much the encoder's own probability counts in what the lane
            threshold is compared with (:func:`classifier.decision.trust`).
        secondary_threshold: least probability of a co-handling class.
        curve: rows (threshold, share of messages at or above it, observed
            error, upper confidence bound of the error), thresholds descending.
        max_error: the promise that the lane threshold follows from by default.
    """

    ngram_weight: float
    temperature: float
    encoder_share: float
    secondary_threshold: float
    curve: tuple[tuple[float, float, float, float], ...]
    max_error: float

    def threshold(self, max_error: float | None = None) -> float:
        """The lowest trust at which the promise still holds; 1.01 if at none."""
        promise = self.max_error if max_error is None else max_error
        kept = 1.01
        for threshold, _, _, bound in self.curve:
            if bound <= promise:
                kept = threshold
        return kept


@dataclass(frozen=True)
class Bundle:
    """A verified model folder."""

    path: Path
    id: str
    max_length: int
    pad_id: int
    unk_id: int
    taxonomy: Taxonomy
    calibration: Calibration
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Read and verify a model folder.

        Raises:
            ModelError: the folder is missing, from another version, or a file
                of it is missing, altered or foreign.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        verify(path, manifest)
        try:
            data = json.loads((path / "calibration.json").read_text(encoding="utf-8"))
            calibration = Calibration(
                ngram_weight=float(data["ngram_weight"]),
                temperature=float(data["temperature"]),
                encoder_share=float(data.get("encoder_share", 0.0)),  # absent in older models
                secondary_threshold=float(data["secondary_threshold"]),
                curve=tuple(tuple(map(float, row)) for row in data["curve"]),  # type: ignore[misc]
                max_error=float(data["max_error"]),
            )
            return cls(
                path=path,
                id=manifest["id"],
                max_length=int(manifest["max_length"]),
                pad_id=int(manifest["pad_id"]),
                unk_id=int(manifest["unk_id"]),
                taxonomy=Taxonomy.load(path / "taxonomy.toml"),
                calibration=calibration,
                manifest=manifest,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"模型文件夹 {path} 的内容不完整（{error}），{_AGAIN}") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise ModelError(f"找不到模型文件夹 {path}，请检查路径")
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        found = manifest["format"]
        manifest["files"].items()
    except FileNotFoundError:
        raise ModelError(
            f"{path} 里没有 {MANIFEST}，不是微类的模型文件夹；"
            "transformers 的检查点请先用 weilei export 导出"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{path / MANIFEST} 读不懂，{_AGAIN}") from None
    if found != FORMAT:
        advice = (
            "请升级 weilei"
            if isinstance(found, int) and found > FORMAT
            else "请用 weilei export 重新导出"
        )
        raise ModelError(
            f"模型文件夹 {path} 是第 {found} 版格式，本程序只认第 {FORMAT} 版，{advice}"
        )
    return dict(manifest)


def verify(path: Path, manifest: dict[str, Any]) -> None:
    """Compare a folder with its manifest.

    The training part may be absent as a whole (the wheel leaves it out).

    Raises:
        ModelError: a file is missing, altered or foreign.
    """
    listed: dict[str, dict[str, Any]] = manifest["files"]
    present = _files(path) - {MANIFEST}
    if foreign := sorted(present - set(listed)):
        raise ModelError(
            f"模型文件夹 {path} 里有清单之外的文件：{'、'.join(foreign)}。请移走它们再试"
        )
    training = {name for name, entry in listed.items() if entry.get("part") == "training"}
    required = set(listed) - (training if not training & present else set())
    if missing := sorted((required | set(RUNTIME_FILES)) - present):
        raise ModelError(f"模型文件夹 {path} 缺少文件：{'、'.join(missing)}。{_AGAIN}")
    for name in sorted(present):
        file, entry = path / name, listed[name]
        if file.stat().st_size != entry["size"] or sha256(file) != entry["sha256"]:
            raise ModelError(
                f"模型文件 {file} 和清单里的校验值不符，可能损坏或被改动。{_AGAIN}"
                "（要改主办单位，请复制一份 taxonomy.toml 用 --taxonomy 指定）"
            )


def _files(path: Path) -> set[str]:
    return {
        p.relative_to(path).as_posix()
        for p in path.rglob("*")
        if (p.is_file() or p.is_symlink()) and p.name not in _CLUTTER
    }


def check_target(target: Path) -> None:
    """Refuse to put a model where something else is, which would be lost.

    Raises:
        InputError: `target` is neither missing nor an empty folder nor a model folder
            that holds nothing else.
    """
    if target.is_dir():
        foreign = _files(target)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no model's manifest
            listed = json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"]
            foreign -= {MANIFEST, *listed}
        if not foreign:
            return
        found = f"里有别的文件（{'、'.join(sorted(foreign)[:5])}）"
    elif not os.path.lexists(target):
        return
    else:
        found = "是一个文件"
    raise InputError(
        f"{target} {found}，没有动它。模型要写进新的、空的，或者原来就只放模型的文件夹，"
        "请用 -o 换个位置"
    )


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(source: Path, target: Path, manifest: dict[str, Any], training: set[str]) -> None:
    """Make `target` the model folder that holds the files of `source`, with a manifest.

    The manifest is written last and the folder appears whole: a killed run
    leaves the old folder or none.

    Args:
        source: a folder with the finished files, without a manifest.
        target: the model folder; replaced if it exists.
        manifest: id, max_length and so on; format and files are added here.
        training: names of the files that only training needs.
    """

    def finish(fresh: Path) -> None:
        files = {
            p.relative_to(fresh).as_posix(): {
                "sha256": sha256(p),
                "size": p.stat().st_size,
                "part": "training" if p.name in training else "runtime",
            }
            for p in sorted(fresh.rglob("*"))
            if p.is_file()
        }
        text = json.dumps(
            {"format": FORMAT, **manifest, "files": files}, ensure_ascii=False, indent=1
        )
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")

    _place(source, target, finish)


def copy(source: Path, target: Path) -> None:
    """Make `target` a copy of the model folder `source`; it appears whole or not at all."""
    _place(source, target, lambda fresh: None)


def recover(target: Path) -> None:
    """Put back what a run left that was killed just as it replaced the model folder `target`."""
    old = _old(target)
    if not old.is_dir():
        return
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(old, target)


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}-旧")


def _place(source: Path, target: Path, finish: Callable[[Path], None]) -> None:
    recover(target)
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        fresh = Path(scratch) / "new"
        shutil.copytree(source, fresh)
        fresh.chmod(0o755)
        finish(fresh)
        try:
            if target.exists():
                os.replace(target, _old(target))
            os.replace(fresh, target)
        finally:
            recover(target)
