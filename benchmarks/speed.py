"""How fast, beside peers that run the same weights on the same texts in the same run.

python -m benchmarks.speed [--n 2000] [--rows 10000] [-o speed.json]
python -m benchmarks.speed --million [-o million.json]
python -m benchmarks.speed --duplicates
"""

from __future__ import annotations

import csv
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
import openvino
import torch
import xlsxwriter
from openvino import opset13
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.utils import logging

from classifier import SuggestionClassifier
from classifier.bundle import Bundle, shipped_model
from classifier.classifier import Outputs
from classifier.decision import AUTO
from classifier.duplicates import near_duplicate_groups
from classifier.encoder import OnnxEncoder
from classifier.tables import open_table, open_target
from classifier.tables.target import Summary
from classifier.tagging import ADDED, cells
from classifier.text import TextEncoder, normalise, pad
from training.corpus import Item, read_items
from training.export import to_onnx

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "training" / "data" / "corpus.jsonl"
TOKENS = range(50, 71)  # “about 60 tokens”
SHORT = range(5, 16)  # for the million rows, where memory is measured and not speed
BATCH = 32

# Texts → category index of each.
Peer = Callable[[Sequence[str]], Sequence[int]]


def transformers_pipeline(folder: Path, batch_size: int | None) -> Peer:
    """The text-classification pipeline in fp32 torch, as its manual says to call it."""
    model = AutoModelForSequenceClassification.from_pretrained(str(folder), dtype=torch.float32)
    classify = pipeline("text-classification", model=model, tokenizer=_tokenizer(folder))
    k = len(Bundle.open(folder).taxonomy)
    options: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}

    def peer(texts: Sequence[str]) -> Sequence[int]:
        said: Any = classify(
            list(map(normalise, texts)), top_k=None, truncation=True, function_to_apply="none",
            **options,
        )  # fmt: skip
        scores = [{row["label"]: row["score"] for row in one} for one in said]
        labels = [model.config.id2label[i] for i in range(k)]
        return [int(np.argmax([one[label] for label in labels])) for one in scores]

    return peer


def _tokenizer(folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.model_max_length = Bundle.open(folder).max_length
    return tokenizer


def onnx_runtime(folder: Path, file: Path) -> Peer:
    """ONNX Runtime on batches of 32 in the order given, padded to the longest."""
    bundle = Bundle.open(folder)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(bundle.max_length)
    tokenizer.no_padding()
    k = len(bundle.taxonomy)

    def peer(texts: Sequence[str]) -> Sequence[int]:
        found: list[int] = []
        for at in range(0, len(texts), BATCH):
            part = list(map(normalise, texts[at : at + BATCH]))
            ids = [e.ids for e in tokenizer.encode_batch(part)]
            padded, mask = pad(ids, bundle.pad_id, max(map(len, ids)))
            (logits,) = session.run(None, {"input_ids": padded, "attention_mask": mask})
            found += logits[:, :k].argmax(1).tolist()
        return found

    return peer


def tfidf_svc(train: Sequence[Item], ids: Sequence[str]) -> Peer:
    """No encoder at all."""
    model = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True),
        LinearSVC(C=0.5),
    )
    model.fit([it.text for it in train], [ids.index(it.primary) for it in train])

    def peer(texts: Sequence[str]) -> Sequence[int]:
        return list(model.predict(texts))

    return peer


def ours(classifier: SuggestionClassifier) -> Peer:
    """This library, up to the finished decision."""

    def peer(texts: Sequence[str]) -> Sequence[int]:
        return [classifier.taxonomy.index(p.primary_id) for p in classifier.predict(texts)]

    return peer


def against_peers(n: int, scratch: Path) -> list[dict[str, Any]]:
    """Texts a second of each peer, and how many of the unseen texts it gets right."""
    folder = shipped_model()
    classifier = SuggestionClassifier.from_pretrained()
    items = read_items(CORPUS, classifier.taxonomy)
    sample = random.Random(0).sample(items, n)
    truth = np.array([classifier.taxonomy.index(it.primary) for it in sample])
    unseen = np.array([it.split == "test" for it in sample])
    model = AutoModelForSequenceClassification.from_pretrained(str(folder), dtype=torch.float32)
    to_onnx(model, scratch / "fp32.onnx")
    train = [it for it in items if it.split == "train"]
    peers: dict[str, Callable[[], Peer]] = {
        "transformers pipeline，fp32 torch，默认设置": lambda: transformers_pipeline(folder, None),
        f"transformers pipeline，batch_size={BATCH}": lambda: transformers_pipeline(folder, BATCH),
        f"ONNX Runtime，fp32，{BATCH} 条一批": lambda: onnx_runtime(folder, scratch / "fp32.onnx"),
        f"ONNX Runtime，8 位权重，{BATCH} 条一批": lambda: onnx_runtime(
            folder, folder / "model.onnx"
        ),
        "微类": lambda: ours(classifier),
        "字 TF-IDF + LinearSVC（没有编码器）": lambda: tfidf_svc(train, classifier.taxonomy.ids),
    }
    rows = []
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for name, make in peers.items():
        peer = make()
        texts = [it.full_text for it in sample]
        peer(texts[:BATCH])  # the first call allocates
        started = time.perf_counter()
        said = np.array(peer(texts))
        seconds = time.perf_counter() - started
        right = float((said == truth)[unseen].mean()) if unseen.any() else None
        rows.append({"name": name, "seconds": seconds, "texts/s": n / seconds, "accuracy": right})
        click.echo(f"{name}：{seconds:.2f} 秒，{n / seconds:.0f} 条/秒")
    return rows


def office_texts(folder: Path, tokens: range = TOKENS) -> list[str]:
    """The corpus texts of so many tokens."""
    bundle = Bundle.open(folder)
    texts = [it.full_text for it in read_items(CORPUS, bundle.taxonomy)]
    encoded = TextEncoder(folder / "tokenizer.json", bundle.max_length).encode(texts)
    return [t for t, ids in zip(texts, encoded.ids, strict=True) if len(ids) in tokens]


def write_xlsx(path: Path, texts: Sequence[str]) -> None:
    """A workbook as an office keeps it."""
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("来信")
        sheet.write_row(0, 0, ["编号", "日期", "内容"])
        for r, text in enumerate(texts, 1):
            sheet.write_row(r, 0, [r, "2026-11-02", text])


def write_csv(path: Path, texts: Sequence[str], rows: int) -> None:
    """A long CSV; texts are repeated."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["编号", "日期", "内容"])
        out.writerows([r, "2026-11-02", t] for r, t in enumerate(islice(cycle(texts), rows), 1))


# What wait4() says of a child's memory includes that of its parent, from before exec.
_TAG = """
import atexit, re
status = lambda: open("/proc/self/status").read()
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+) kB", status())[1]))
from classifier.cli import main
main()
"""


def tag(source: Path, target: Path) -> dict[str, float]:
    """``weilei tag`` in a process of its own: seconds in all, most memory in MB (Linux)."""
    command = [sys.executable, "-c", _TAG, "tag", str(source), "-q", "-o", str(target)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    return {"秒": seconds, "内存最高 MB": int(done.stdout) / 1024}


def where_time_goes(source: Path, scratch: Path) -> dict[str, float]:
    """Seconds of each step on one table, and how near the encoder is to the machine's peak."""
    spent: dict[str, float] = {}
    last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        spent[name] = time.perf_counter() - last
        last = time.perf_counter()

    folder = shipped_model()
    classifier = SuggestionClassifier.from_pretrained()
    lap("载入模型")
    table = open_table(source)
    lap("认列、数行")
    column = table.header.index("内容")
    texts = [row[column].value for row in table.rows()]
    lap("读")
    for text in texts:
        normalise(text)
    lap("整理文字")
    encoder = TextEncoder(folder / "tokenizer.json", classifier.bundle.max_length)
    last = time.perf_counter()
    encoded = encoder.encode(texts)
    spent["切词"] = time.perf_counter() - last - spent["整理文字"]
    engine = OnnxEncoder(folder / "model.onnx", classifier.bundle.pad_id)
    last = time.perf_counter()
    logits = engine.encode(encoded.ids)
    lap("编码")
    margins = classifier.ngrams.scores(encoded.texts)
    lap("字面 n-gram")
    nothing = [""] * len(texts)
    found = classifier.decide(Outputs(texts, logits, margins, nothing, encoded.cut))
    lap("判定")
    target = open_target(scratch / "out.xlsx", table, ADDED)
    for row, p in zip(table.rows(), found, strict=True):
        target.write(row, cells(p), p.lane != AUTO)
    target.close(Summary([("微城管", "市城管局", 1, 1)], []))
    lap("再读一遍、写")
    operations = 2.0 * linear_weights(folder) * sum(map(len, encoded.ids))
    return {
        **{f"{name}，秒": seconds for name, seconds in spent.items()},
        "编码，GOPS": operations / spent["编码"] / 1e9,
        "这台机器 8 位矩阵乘法，GOPS": int8_peak() / 1e9,
    }


def linear_weights(folder: Path) -> int:
    """Weights of the encoder that every token is multiplied with."""
    model = AutoModelForSequenceClassification.from_pretrained(str(folder))
    layers = model.base_model.encoder.modules()
    return sum(m.weight.numel() for m in layers if isinstance(m, torch.nn.Linear))


def int8_peak(n: int = 2048) -> float:
    """Operations a second of one large 8-bit matrix product in OpenVINO, the best of eight."""
    rng = np.random.default_rng(0)
    given = opset13.parameter([n, n], np.float32)
    low, high = np.float32(-1), np.float32(1)
    rounded = opset13.fake_quantize(given, low, high, low, high, 256)
    weight = opset13.constant(rng.integers(-127, 128, (n, n)).astype(np.int8))
    scale = opset13.constant(np.full((n, 1), 0.01, dtype=np.float32))
    product = opset13.matmul(
        rounded, opset13.multiply(opset13.convert(weight, np.float32), scale), False, True
    )
    model = openvino.Core().compile_model(openvino.Model([product], [given]), "CPU")
    request, values = model.create_infer_request(), rng.uniform(-1, 1, (n, n)).astype(np.float32)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        request.infer([values])
        seconds.append(time.perf_counter() - started)
    return 2.0 * n**3 / min(seconds)


def beside_others(scratch: Path, n: int, rows: int) -> dict[str, Any]:
    """Peers on `n` texts, then a workbook of `rows` texts and where the time goes."""
    click.echo(f"语料 {n} 条，原来的长短：")
    peers = against_peers(n, scratch)
    source = scratch / "建议.xlsx"
    write_xlsx(source, list(islice(cycle(office_texts(shipped_model())), rows)))
    whole = tag(source, scratch / "结果.xlsx")
    click.echo(f"\n{rows} 条、每条约 60 个词元，.xlsx 到 .xlsx：{_shown(whole)}")
    steps = where_time_goes(source, scratch)
    click.echo(f"分步：{_shown(steps)}")
    return {"peers": peers, "xlsx": whole, "steps": steps}


def a_million(scratch: Path) -> dict[str, Any]:
    """A table so long that nothing of it may stay in memory."""
    texts = office_texts(shipped_model(), SHORT)
    write_csv(scratch / "百万.csv", texts, 1_000_000)
    found = tag(scratch / "百万.csv", scratch / "百万-打标.csv")
    click.echo(f"一百万行短句，.csv 到 .csv：{_shown(found)}")
    return {"million": found}


def same_again(scratch: Path) -> dict[str, Any]:
    """100,000 texts, three in four of them sent again in another frame, into groups."""
    frames = ("{}", "市民来电反映：{}希望有关部门处理。", "领导好！{}谢谢", "{}盼回复。")
    items = read_items(CORPUS, Bundle.open(shipped_model()).taxonomy)[:25_000]
    texts = [frame.format(it.full_text) for frame in frames for it in items]
    random.Random(0).shuffle(texts)
    started = time.perf_counter()
    groups = near_duplicate_groups(texts)
    found = {"条": len(texts), "组": len(set(groups)), "秒": time.perf_counter() - started}
    click.echo(f"一事多投：{_shown(found)}")
    return {"duplicates": found}


@click.command()
@click.option("--n", default=2000, show_default=True, help="Texts of natural lengths for peers.")
@click.option("--rows", default=10_000, show_default=True, help="Rows of about 60 tokens.")
@click.option("--million", is_flag=True, help="Only tag a CSV of a million short rows.")
@click.option("--duplicates", is_flag=True, help="Only group 100,000 texts.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also write JSON.")
def main(n: int, rows: int, million: bool, duplicates: bool, output: Path | None) -> None:
    """Measure and print."""
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "openvino": openvino.__version__,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
    click.echo(f"{report}\n")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if million or duplicates:
            report |= a_million(scratch) if million else same_again(scratch)
        else:
            report |= beside_others(scratch, n, rows)
    if output:
        output.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _shown(figures: dict[str, float]) -> str:
    return "，".join(f"{name} {value:.2f}" for name, value in figures.items())


if __name__ == "__main__":
    main()
