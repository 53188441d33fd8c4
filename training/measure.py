"""What the commands evaluate and export do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from classifier import SuggestionClassifier
from classifier.bundle import NGRAMS, check_target, shipped_model
from classifier.decision import percent
from classifier.errors import InputError
from classifier.ngrams import NgramModel
from classifier.tables.target import clean
from classifier.taxonomy import Taxonomy
from training.corpus import TO_MEASURE, Say, read_items
from training.evaluate import evaluate
from training.progress import quiet_libraries
from training.release import release
from training.resume import fingerprint


def measure(
    files: Sequence[Path],
    model: Path | None,
    output: Path,
    *,
    say: Say,
    text: str | None = None,
    label: str | None = None,
    peers: bool = False,
) -> dict[str, Any]:
    """Evaluate a model folder on labelled files and print the figures.

    Raises:
        InputError: a file, column or label cannot be used, nothing is left to measure on,
            or `output` cannot be written.
        ModelError: the model folder cannot be used.
    """
    quiet_libraries()
    classifier = SuggestionClassifier.from_pretrained(model)
    sets = {
        name: read_items(
            file, classifier.taxonomy, text=text, label=label, say=say, advice=TO_MEASURE
        )
        for name, file in _names(files).items()
    }
    checkpoint = classifier.bundle.path
    with _writable(output):
        report = evaluate(
            sets,
            classifier,
            output,
            checkpoint=checkpoint if (checkpoint / "model.safetensors").is_file() else None,
            peers=peers,
            say=say,
        )
    say(f"模型 {report['model']}")
    named = _names(files)
    for name, found in report["sets"].items():
        say(f"\n== {name}：{found['n']} 条{_seen(named[name], found['held_out'], classifier)}")
        for line in lines(found):
            say(line)
    say(f"图和 JSON 在 {output}")
    return report


@contextmanager
def _writable(output: Path) -> Iterator[None]:
    """Turns a folder that cannot be written, or a full disk, into advice."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # of a library, about what it reads
            raise
        raise InputError(
            f"写不了 {output}（{error.strerror}）。请检查权限、磁盘是否已满，或用 -o 换个位置"
        ) from error


def _names(files: Iterable[Path]) -> dict[str, Path]:
    """The files by the names of their figures and pictures: the second ``x`` is ``x-2``."""
    named: dict[str, Path] = {}
    for file in dict.fromkeys(files):
        stem = clean(file.stem, ".jsonl")
        n, name = 1, stem
        while name in named:
            n += 1
            name = f"{stem}-{n}"
        named[name] = file
    return named


def _seen(file: Path, held_out: bool, classifier: SuggestionClassifier) -> str:
    """What can be said of whether the classifier was trained on what it is measured on."""
    if held_out:
        return "，都没有参加训练"
    learned = classifier.bundle.manifest.get("training", {}).get("data", {})
    if fingerprint(file) in learned.values():
        return "，这份标注训练过这个模型，数字偏高；没有参加训练的怎样，见训练报告"
    return ""


def lines(found: dict[str, Any]) -> list[str]:
    """The figures of one set as lines of text."""
    out = [
        f"准确率 {found['accuracy']:.3f}   宏平均 F1 {found['macro_f1']:.3f}（至少 20 条的类）",
    ]
    for title, peer in found.get("peers", {}).items():
        out.append(f"    同样数据，{title}：{peer['accuracy']:.3f}   {peer['macro_f1']:.3f}")
    out.append(
        f"主办或协办说中 {found['primary_or_secondary']:.3f}   "
        f"前两名里有 {found['top_two']:.3f}   校准误差 {found['calibration_error']:.3f}   "
        f"协办 查准 {found['secondary']['precision']:.2f} 查全 {found['secondary']['recall']:.2f}"
    )
    for wish, lane in found["promises"].items():
        out.append(
            f"承诺错误率 {percent(float(wish))}：自动通道 {lane['share']:.3f}，"
            f"其中错 {lane['error']:.3f}，200 次重抽里守住 {lane['kept']:.0%}"
        )
    out.append("改写后标签变了：" + "，".join(f"{k} {v:.3f}" for k, v in found["flips"].items()))
    out.append(f"只读依据，标签不变 {found['evidence_alone']:.3f}")
    if torch := found.get("torch"):
        out.append(
            f"ONNX（8 位权重）和 torch（fp32）标签一致 {torch['same_label']:.4f}，"
            f"宏平均 F1 {found['macro_f1']:.4f} 比 {torch['macro_f1']:.4f}"
        )
    for key, title in (("by_source", "来源"), ("by_register", "语体"), ("by_indirect", "说法")):
        if len(found[key]) > 1:
            parts = [f"{k} {v['accuracy']:.3f}（{v['n']}）" for k, v in found[key].items()]
            out.append(f"{title}：" + "，".join(parts))
    parts = [f"{k} {v['f1']:.3f}（{v['n']}）" for k, v in found["by_class"].items() if v["n"]]
    out.append("各类 F1：" + "，".join(parts))
    return out


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    *,
    files: Sequence[Path],
    say: Say,
    taxonomy: Path | None = None,
    card: Path | None = None,
) -> Path:
    """Write a model folder from a ``transformers`` checkpoint.

    The second opinion on wording comes along if the checkpoint is a model
    folder; else the encoder speaks alone.

    Raises:
        InputError: too few calibration rows, no such card, or `output` is something else.
        ModelError: the checkpoint cannot be loaded or does not fit the taxonomy.
    """
    quiet_libraries()
    if not output.resolve().parent.is_dir():
        raise InputError(f"文件夹 {output.resolve().parent} 不存在，请先建好，或用 -o 换个位置")
    check_target(output)
    try:
        about = card.read_text(encoding="utf-8-sig") if card else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"读不了模型说明 {card}（要存为 UTF-8）：{error}") from None
    taxonomy_file = taxonomy or shipped_model() / "taxonomy.toml"
    categories = Taxonomy.load(taxonomy_file)
    items = [it for file in files for it in read_items(file, categories, say=say)]
    chosen = [it for it in items if it.split == "calibration"] or [
        it for it in items if not it.split
    ]
    ngrams = checkpoint / NGRAMS
    with _writable(output):
        release(
            checkpoint,
            output,
            taxonomy_file,
            chosen,
            NgramModel.load(ngrams) if ngrams.is_file() else NgramModel.silent(len(categories)),
            card=about,
            training={"data": {clean(str(file), ".jsonl"): fingerprint(file) for file in files}},
        )
    say(f"模型已写入 {output}（用 {len(chosen)} 条校准）")
    return output
