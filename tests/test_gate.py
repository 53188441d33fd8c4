"""The gate between a new model and use, and the versions that one can switch between."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from classifier import InputError, ModelError, SuggestionClassifier, bundle, registry
from classifier.bundle import RUNTIME_FILES, shipped_model
from classifier.cli.models import models
from tests.conftest import Run
from training.corpus import Item
from training.data_check import Parts
from training.gate import compare, lane_warning
from training.run import _measure, run


def rights(n: int, wrong: int) -> np.ndarray:
    return np.arange(n) >= wrong


@pytest.mark.parametrize(
    ("n", "new_wrong", "old_wrong", "accepted"),
    [
        (1000, 80, 100, True),  # better
        (1000, 100, 100, True),  # equal
        (1000, 200, 100, False),  # clearly worse
        (20, 3, 2, False),  # on few items a loss is not put down to chance
        (1, 0, 0, False),  # nothing to compare on
        (0, 0, 0, False),
    ],
)
def test_gate(n: int, new_wrong: int, old_wrong: int, accepted: bool) -> None:
    found = compare(rights(n, new_wrong), rights(n, old_wrong))
    assert found.accepted is accepted


def test_a_small_loss_by_chance_is_let_through_and_a_sure_one_is_not() -> None:
    rng = np.random.default_rng(0)
    old = rng.random(1000) < 0.9
    noisy = old.copy()
    flipped = rng.permutation(1000)[:100]
    noisy[flipped] = ~noisy[flipped]
    noisy[np.flatnonzero(~noisy)[: int(old.sum() - noisy.sum()) - 5]] = True
    assert noisy.mean() - old.mean() == pytest.approx(-0.005)
    assert compare(noisy, old).accepted
    sure = old.copy()
    sure[np.flatnonzero(old)[:9]] = False  # nine lost, none won
    assert not compare(sure, old).accepted


def test_less_going_through_by_itself_is_said(clf: SuggestionClassifier) -> None:
    sure = clf.predict(["三路公交车等了四十分钟不来"] * 10)
    unsure = [replace(p, lane="review", reason="把握不足，请人工判断") for p in sure]
    assert sure[0].lane == "auto"
    assert lane_warning(sure, unsure, 300, 0.02) == ""
    said = lane_warning(unsure, sure, 24, 0.02)
    assert "自动通道只占 0%（现在用的模型 100%）" in said
    assert "校准只有 24 条" in said
    assert "校准只有" not in lane_warning(unsure, sure, 500, 0.02)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one trained model: the runtime part of the shipped one, under another id."""
    monkeypatch.setenv("WEILEI_HOME", str(tmp_path))
    folder = tmp_path / "models" / "自己的-1"
    folder.mkdir(parents=True)
    for name in (*RUNTIME_FILES, "MODEL_CARD.md"):
        shutil.copy(shipped_model() / name, folder / name)
    manifest = json.loads((shipped_model() / "manifest.json").read_text(encoding="utf-8"))
    text = json.dumps({**manifest, "id": "自己的-1"})
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    record = {"when": "2026-11-24 09:00", "accuracy": 0.9, "n_test": 50}
    folder.with_name("自己的-1.json").write_text(json.dumps(record), encoding="utf-8")
    return tmp_path


def test_switching_and_switching_back(trained: Path) -> None:
    shipped = SuggestionClassifier.from_pretrained().model_id
    assert [v.id for v in registry.versions()] == ["shipped", "自己的-1"]
    registry.use("自己的-1")
    assert SuggestionClassifier.from_pretrained().model_id == "自己的-1"
    assert [v.in_use for v in registry.versions()] == [False, True]
    registry.use("shipped")
    assert SuggestionClassifier.from_pretrained().model_id == shipped
    with pytest.raises(InputError, match="现有的：shipped、自己的-1"):
        registry.use("没有的")


def test_a_new_class_does_not_make_up_for_what_was_forgotten(trained: Path, tmp_path: Path) -> None:
    texts = ["三路公交车等了四十分钟不来", "公交站牌看不清楚，车总是晚点", "电影院退票不给退钱"]
    texts += ["老年卡在哪儿办，去了两趟都没人", "养老院护工太少，夜里没人管"]
    text = (shipped_model() / "taxonomy.toml").read_text(encoding="utf-8")
    source, fresh = tmp_path / "source", tmp_path / "fresh"
    shutil.copytree(trained / "models" / "自己的-1", source)
    renamed = text.replace('id = "eldercare"', 'id = "lao"').replace('"微养老"', '"微银龄"')
    (source / "taxonomy.toml").write_text(renamed, encoding="utf-8")
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    del manifest["files"], manifest["format"]
    (source / "manifest.json").unlink()
    bundle.write(source, fresh, manifest, set())
    gold = ["safety", "safety", "other", "lao", "lao"]  # as if both were wrong of the first two
    items = [Item(t, c, where=t, group=i) for i, (t, c) in enumerate(zip(texts, gold, strict=True))]
    said: list[str] = []
    training = {"data": {}, "base": "shipped", "options": {}, "libraries": {}}
    parts = Parts([], [], [], items)
    found = _measure(fresh, parts, tmp_path / "报告.html", training, said.append)
    assert found.accepted
    assert any("现在用的模型也有的类" in line for line in said)
    assert not replace(found, forgot=True).accepted


def test_a_class_by_another_id_is_the_same_class(trained: Path, tmp_path: Path) -> None:
    text = (shipped_model() / "taxonomy.toml").read_text(encoding="utf-8")
    source, fresh = tmp_path / "source", tmp_path / "fresh"
    shutil.copytree(trained / "models" / "自己的-1", source)
    (source / "taxonomy.toml").write_text(
        text.replace('id = "transport"', 'id = "jt"'), encoding="utf-8"
    )
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    del manifest["files"], manifest["format"]
    (source / "manifest.json").unlink()
    bundle.write(source, fresh, manifest, set())
    texts = ["三路公交车等了四十分钟不来", "公交站牌看不清楚，车总是晚点"]
    parts = Parts([], [], [], [Item(t, "jt", where=t, group=i) for i, t in enumerate(texts)])
    training = {"data": {}, "base": "shipped", "options": {}, "libraries": {}}
    said: list[str] = []
    found = _measure(fresh, parts, tmp_path / "报告.html", training, said.append)
    assert (found.new, found.old) == (1, 1)
    assert all("分类表不同" not in line for line in said)


def test_a_merged_class_is_no_mistake_of_the_old_model(trained: Path, tmp_path: Path) -> None:
    texts = ["三路公交车等了四十分钟不来", "公交站牌看不清楚，车总是晚点"]
    items = [Item(t, "other", where=t, group=i) for i, t in enumerate(texts)]
    parts = Parts([], [], [], items, frozenset({"transport"}))
    training = {"data": {}, "base": "shipped", "options": {}, "libraries": {}}
    fresh = trained / "models" / "自己的-1"
    found = _measure(fresh, parts, tmp_path / "报告.html", training, lambda _: None)
    assert found.old == 1


def test_what_the_end_needs_is_looked_at_first(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.use("自己的-1")
    (trained / "models" / "自己的-1" / "ngrams.npz").write_bytes(b"")
    with pytest.raises(ModelError, match="校验值不符"):
        run([tmp_path / "没有.xlsx"], tmp_path / "m", say=print)
    monkeypatch.setenv("WEILEI_HOME", str(trained / "current"))
    with pytest.raises(InputError, match="WEILEI_HOME"):
        run([tmp_path / "没有.xlsx"], tmp_path / "m", say=print)


def test_a_model_that_is_gone_is_said_so(trained: Path) -> None:
    registry.use("自己的-1")
    shutil.rmtree(trained / "models" / "自己的-1")
    with pytest.raises(ModelError, match="weilei models use shipped"):
        SuggestionClassifier.from_pretrained()


def test_models_command(weilei: Run, trained: Path) -> None:
    (trained / "models" / "坏的-2").mkdir()
    (trained / "models" / "坏的-2" / "manifest.json").write_text("{", encoding="utf-8")
    assert weilei("models", "use", "自己的-1", home=trained).returncode == 0
    assert weilei("models", "use", "坏的-2", home=trained).returncode == 3
    done = weilei("models", home=trained)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "正在用" in line]
    assert "自己的-1" in line
    assert "0.900（50 条）" in line


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"when": "2026"}', b'{"accuracy": "x", "n_test": 1}', b"\xff"]
)
def test_a_damaged_record_is_no_record(trained: Path, content: bytes) -> None:
    (trained / "models" / "自己的-1.json").write_bytes(content)
    run = CliRunner()
    listed = run.invoke(models, [], catch_exceptions=False)
    assert "自己的-1" in listed.output
    run.invoke(models, ["use", "自己的-1"], catch_exceptions=False)
    assert registry.current() == "自己的-1"
    run.invoke(models, ["use", "shipped"], catch_exceptions=False)
    assert registry.current() == "shipped"


def test_a_damaged_pointer_is_said_so(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (trained / "current").write_text("自己的-1", encoding="utf-8-sig")  # Notepad's
    assert registry.model_in_use().name == "自己的-1"
    (trained / "current").write_bytes("自己的-1".encode("gbk"))
    with pytest.raises(ModelError, match="weilei models use shipped"):
        registry.model_in_use()
    registry.use("shipped")
    assert registry.current() == "shipped"
    monkeypatch.setenv("WEILEI_HOME", str(trained / "current"))
    with pytest.raises(InputError, match="WEILEI_HOME"):
        registry.versions()
