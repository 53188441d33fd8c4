"""The card of the shipped model, written from its evaluation so that no figure is typed by hand.

python -m training.card models/weilei-small evaluation/evaluation.json training/data/corpus.jsonl
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from classifier import SuggestionClassifier, bundle
from classifier.decision import percent
from training.corpus import read_items
from training.evaluate import score
from training.release import TRAINING_FILES

_TITLES = {
    "labelled": "真实来信（开发集）",
    "corpus": "本项目的语料（测试部分）",
    "nonsense": "不该自动分办的（广告、问候、乱码、外文）",
}
_WORST = 10


def write_card(folder: Path, report: dict[str, Any], corpus: Path) -> None:
    """Write ``MODEL_CARD.md`` from an evaluation of this very model and reseal the folder.

    Args:
        report: what ``weilei evaluate`` wrote.
        corpus: the project's own corpus; its invented texts serve as examples of mistakes.

    Raises:
        ValueError: the evaluation is of another model.
    """
    opened = bundle.Bundle.open(folder)
    if report["model"] != opened.id:
        raise ValueError(f"the evaluation is of {report['model']}, not of {opened.id}")
    manifest = {k: v for k, v in opened.manifest.items() if k not in ("format", "files")}
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "model"
        shutil.copytree(folder, fresh)
        (fresh / bundle.MANIFEST).unlink()
        (fresh / bundle.CARD).write_text(_card(opened, report, corpus), encoding="utf-8")
        bundle.write(fresh, folder, manifest, TRAINING_FILES)


def _card(opened: bundle.Bundle, report: dict[str, Any], corpus: Path) -> str:
    taxonomy = opened.taxonomy
    training = opened.manifest["training"]
    calibration = json.loads((opened.path / "calibration.json").read_text(encoding="utf-8"))
    parts = [
        f"# 模型说明：{opened.id}\n",
        f"把一条中文群众意见建议分到{taxonomy.name}，分不了的归“{taxonomy.categories[-1].name}”。"
        f"12 层、384 维的中文 BERT（`intfloat/multilingual-e5-small`，MIT，只留中文词表），"
        f"每条最多读 {opened.max_length} 个词元；旁边有一个看字面的线性模型（字的 1–3 元片段）"
        "作第二意见，两个分数相加。\n",
        "## 用什么训练\n",
        f"最后一段训练 {training['figures']['n_train']} 条（语料重复计数），"
        f"挑选检查点 {training['figures']['n_validation']} 条，"
        f"校准 {calibration['messages']} 条，"
        "三者按近乎重复的分组隔开：\n",
        "- 本项目的语料 `training/data/corpus.jsonl` 的训练部分：按分类手册逐条写的建议，"
        "九种语体，四成是建议；",
        "- 两个来源的公开群众来信（一省给领导的留言、一市的投诉），按同一手册标注。"
        "来信的文字没有许可，不随项目发布。\n",
        "## 怎样量的\n",
        "`weilei evaluate ../shared/data/labelled.jsonl build/messages.jsonl "
        "training/data/corpus.jsonl training/data/nonsense.jsonl`，"
        "都是训练、门槛和早停没有见过的条目：\n",
        _figures_table(report),
    ]
    for name, found in report["sets"].items():
        parts.append(f"\n### {_TITLES.get(name, name)}\n")
        if name == "nonsense":
            lanes = "，".join(
                f"承诺 {percent(float(wish))} 时 {lane['share']:.1%}"
                for wish, lane in found["promises"].items()
            )
            parts.append(f"{found['n']} 条，进了自动通道的：{lanes}")
            continue
        parts.append(_class_table(found))
        for key, title in (
            ("by_source", "来源"),
            ("by_register", "语体"),
            ("by_indirect", "说法"),
        ):
            if len(found[key]) > 1:
                cells = [f"{k} {v['accuracy']:.3f}（{v['n']}）" for k, v in found[key].items()]
                parts.append(f"\n按{title}的准确率：" + "，".join(cells))
    parts += [
        "\n## 在哪里会错\n",
        "混淆最多的几对（人工的类 → 模型的类，条数），例子取自本项目自己写的语料：\n",
        *_confusions(report, opened, corpus),
        "\n还要留心：场所和旁人的字眼仍会把它带偏（见上面“不点名”的准确率）；"
        "一条里说几件事时，它只看得出最突出的一件；讽刺、反话、图片里的内容它不懂；"
        "不是中文的、没有意思的，它不猜，直接转人工。\n",
        "## 不要用在\n",
        "- 不经人看就拒绝或关闭一条诉求；\n- 给写信的人打分、画像；\n"
        "- 分类表之外的事（换了分类表要用 `weilei train` 重新训练）。\n",
        "## 置信度和承诺\n",
        f"字面线性模型的权重 {opened.calibration.ngram_weight}，"
        f"温度 {opened.calibration.temperature}，都在校准集上定。默认承诺：自动通道里错的不超过 "
        f"{percent(opened.calibration.max_error)}（校准集上 95% 单侧 Clopper–Pearson 上界），"
        f"对应的门槛是 {opened.calibration.threshold():.3f}。换一个承诺不用重新训练："
        "`--max-error`。\n",
    ]
    return "\n".join(parts)


def _figures_table(report: dict[str, Any]) -> str:
    names = [n for n in report["sets"] if n != "nonsense"]
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("条数", lambda f: str(f["n"])),
        ("准确率", lambda f: f"{f['accuracy']:.3f}"),
        ("宏平均 F1（至少 20 条的类）", lambda f: f"{f['macro_f1']:.3f}"),
        ("主办或协办说中", lambda f: f"{f['primary_or_secondary']:.3f}"),
        ("前两名里有", lambda f: f"{f['top_two']:.3f}"),
        ("校准误差（15 个等量箱）", lambda f: f"{f['calibration_error']:.3f}"),
        *(
            (
                f"承诺错误率 {percent(float(wish))}：自动通道份额 / 其中错",
                lambda f, wish=wish: (
                    f"{f['promises'][wish]['share']:.3f} / {f['promises'][wish]['error']:.3f}"
                ),
            )
            for wish in ("0.05", "0.02")
        ),
        (
            "协办 查准 / 查全",
            lambda f: f"{f['secondary']['precision']:.2f} / {f['secondary']['recall']:.2f}",
        ),
        *(
            (f"标签变了：{kind}", lambda f, kind=kind: f"{f['flips'][kind]:.3f}")
            for kind in report["sets"][names[0]]["flips"]
        ),
        ("只读依据，标签不变", lambda f: f"{f['evidence_alone']:.3f}"),
        (
            "ONNX（8 位）和 torch（fp32）标签一致",
            lambda f: f"{f['torch']['same_label']:.4f}" if "torch" in f else "—",
        ),
        *(
            (
                f"同样数据、同一次运行：{peer}",
                lambda f, peer=peer: (
                    f"{f['peers'][peer]['accuracy']:.3f} / {f['peers'][peer]['macro_f1']:.3f}"
                ),
            )
            for peer in report["sets"][names[0]].get("peers", {})
        ),
    ]
    head = "| | " + " | ".join(_TITLES.get(n, n) for n in names) + " |\n|---|" + "---|" * len(names)
    body = [
        f"| {title} | " + " | ".join(cell(report["sets"][n]) for n in names) + " |"
        for title, cell in rows
    ]
    return "\n".join([head, *body])


def _class_table(found: dict[str, Any]) -> str:
    lines = ["| 类 | 条数 | F1 | 判为该类的有多少进自动通道 | 其中错 |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {v['n']} | {v['f1']:.3f} | {v['auto_share']:.2f} | {v['auto_error']:.3f} |"
        for name, v in found["by_class"].items()
        if v["n"]
    ]
    return "\n".join(lines)


def _confusions(report: dict[str, Any], opened: bundle.Bundle, corpus: Path) -> list[str]:
    taxonomy = opened.taxonomy
    counts: dict[tuple[int, int], int] = {}
    for name, found in report["sets"].items():
        if name == "nonsense":
            continue  # how much of it goes through by itself is told above
        for i, row in enumerate(found["confusion"]):
            for j, n in enumerate(row):
                if i != j and n:
                    counts[i, j] = counts.get((i, j), 0) + n
    examples = _mistakes(opened, corpus)
    lines = []
    for (i, j), n in sorted(counts.items(), key=lambda kv: -kv[1])[:_WORST]:
        shown = f"，如“{examples[i, j]}”" if (i, j) in examples else ""
        lines.append(f"- {taxonomy.names[i]} → {taxonomy.names[j]}：{n}{shown}")
    return lines


def _mistakes(opened: bundle.Bundle, corpus: Path) -> dict[tuple[int, int], str]:
    """The shortest invented text of each confusion, from the corpus's test split."""
    taxonomy = opened.taxonomy
    held = [it for it in read_items(corpus, taxonomy) if it.split == "test"]
    held.sort(key=lambda it: len(it.text))
    classifier = SuggestionClassifier.from_pretrained(opened.path)
    scored = score("corpus", held, classifier)
    found: dict[tuple[int, int], str] = {}
    for it, i, j in zip(held, scored.gold, scored.guess, strict=True):
        found.setdefault((int(i), int(j)), it.text)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("corpus", type=Path)
    arguments = parser.parse_args()
    content = json.loads(arguments.report.read_text(encoding="utf-8"))
    write_card(arguments.folder, content, arguments.corpus)
