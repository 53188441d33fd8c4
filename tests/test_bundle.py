"""A model folder is whole and unaltered, or refused with advice."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from classifier import InputError, ModelError, SuggestionClassifier, bundle
from classifier.bundle import RUNTIME_FILES, Calibration, shipped_model
from training.measure import export_checkpoint
from training.run import run


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


@pytest.mark.parametrize("name", ["docs", "labels.xlsx"])
def test_only_a_model_is_replaced_by_a_model(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "note.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "docs" / "manifest.json").write_text('{"name": "a web page"}', encoding="utf-8")
    (tmp_path / "labels.xlsx").write_bytes(b"mine")
    (tmp_path / "a.csv").write_text("内容,类别\n路灯不亮,微城管\n", encoding="utf-8")
    target, data = tmp_path / name, tmp_path / "a.csv"
    for put in (
        lambda: bundle.copy(folder, target),
        lambda: run([data], target, say=print),
        lambda: export_checkpoint(folder, target, files=[data], say=print),
    ):
        with pytest.raises(InputError, match="没有动它"):
            put()
    assert (tmp_path / "docs" / "note.txt").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "labels.xlsx").read_bytes() == b"mine"


def test_a_model_replaces_an_empty_folder_and_a_model_but_not_what_was_put_in(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "m"
    target.mkdir()
    (target / ".DS_Store").write_bytes(b"x")
    for _ in range(2):
        bundle.copy(folder, target)
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    (target / "manifest.json").write_text(json.dumps({**manifest, "format": 1}), encoding="utf-8")
    bundle.copy(folder, target)
    SuggestionClassifier.from_pretrained(target)
    (target / "labels.xlsx").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"labels\.xlsx"):
        bundle.copy(folder, target)


def test_a_model_is_there_whatever_happens_while_it_is_replaced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m"
    bundle.copy(folder, target)
    replace = os.replace

    def refuse(source: Path, place: Path) -> None:
        if Path(source).name == "new":
            raise PermissionError(13, "in use")
        replace(source, place)

    with monkeypatch.context() as m:
        m.setattr(os, "replace", refuse)
        with pytest.raises(PermissionError):
            bundle.copy(folder, target)
    assert not list(tmp_path.glob(".m-*"))
    SuggestionClassifier.from_pretrained(target)
    replace(target, tmp_path / ".m-旧")  # as after kill -9
    bundle.recover(target)
    SuggestionClassifier.from_pretrained(target)


@pytest.mark.parametrize("content", [None, "不是 UTF-8".encode("gbk")])
def test_a_card_that_cannot_be_read(folder: Path, tmp_path: Path, content: bytes | None) -> None:
    card = tmp_path / "card.md"
    if content is not None:
        card.write_bytes(content)
    with pytest.raises(InputError, match="读不了模型说明"):
        export_checkpoint(folder, tmp_path / "m", files=[], say=print, card=card)


def test_threshold_follows_the_promise() -> None:
    curve = ((0.9, 0.3, 0.0, 0.01), (0.7, 0.6, 0.01, 0.03), (0.5, 0.9, 0.05, 0.08))
    c = Calibration(1.0, 1.0, 0.0, 0.5, curve, 0.02)
    assert c.threshold() == 0.9
    assert c.threshold(0.05) == 0.7
    assert c.threshold(0.5) == 0.5
    assert c.threshold(0.001) > 1
