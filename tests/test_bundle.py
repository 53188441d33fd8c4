"""A model folder is whole and unaltered, or refused with advice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from classifier import ModelError, SuggestionClassifier
from classifier.bundle import RUNTIME_FILES, Calibration, shipped_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the runtime part, as the wheel carries it."""
    target = tmp_path / "model"
    target.mkdir()
    for name in (*RUNTIME_FILES, "MODEL_CARD.md", "manifest.json"):
        shutil.copy(shipped_model() / name, target / name)
    return target


def test_runtime_part_alone_is_enough(folder: Path) -> None:
    assert SuggestionClassifier.from_pretrained(folder).predict(["路灯不亮了，晚上看不见路"])


@pytest.mark.parametrize("name", [*RUNTIME_FILES, "MODEL_CARD.md"])
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"缺少文件.*{name}"):
        SuggestionClassifier.from_pretrained(folder)


@pytest.mark.parametrize("name", [*RUNTIME_FILES, "MODEL_CARD.md"])
def test_altered_file(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=f"{name}.*校验值不符"):
        SuggestionClassifier.from_pretrained(folder)


def test_foreign_file(folder: Path) -> None:
    (folder / "evil.pkl").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"清单之外的文件：evil\.pkl"):
        SuggestionClassifier.from_pretrained(folder)


def test_clutter_of_file_managers_is_ignored(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    SuggestionClassifier.from_pretrained(folder)


@pytest.mark.parametrize(("version", "advice"), [(3, "升级"), (1, "重新导出")])
def test_another_version(folder: Path, version: int, advice: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["format"] = version
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ModelError, match=advice):
        SuggestionClassifier.from_pretrained(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "not json"])
def test_damaged_manifest(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"manifest\.json"):
        SuggestionClassifier.from_pretrained(folder)


def test_no_folder_and_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="找不到模型文件夹"):
        SuggestionClassifier.from_pretrained(tmp_path / "none")
    with pytest.raises(ModelError, match="weilei export"):
        SuggestionClassifier.from_pretrained(tmp_path)


def test_shipped_folder_is_light_and_without_pickle() -> None:
    files = [p for p in shipped_model().rglob("*") if p.is_file()]
    sizes = {p.name: p.stat().st_size for p in files}
    assert sum(sizes.values()) < 100e6
    assert sum(sizes[name] for name in RUNTIME_FILES) < 40e6
    assert not {p.suffix for p in files} & {".bin", ".pt", ".pkl", ".pickle", ".pth"}


def test_threshold_follows_the_promise() -> None:
    curve = ((0.9, 0.3, 0.0, 0.01), (0.7, 0.6, 0.01, 0.03), (0.5, 0.9, 0.05, 0.08))
    c = Calibration(1.0, 1.0, 0.0, 0.5, curve, 0.02)
    assert c.threshold() == 0.9
    assert c.threshold(0.05) == 0.7
    assert c.threshold(0.5) == 0.5
    assert c.threshold(0.001) > 1
