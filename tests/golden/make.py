"""Make the golden numbers from reference implementations.

    python -m tests.golden.make

``vectors.npy``: the base with its full vocabulary, mean-pooled (made once).
``logits.json``: the shipped fp32 checkpoint in torch (made anew with each shipped model).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from classifier import Taxonomy
from classifier.bundle import shipped_model
from classifier.text import normalise
from training.base import build_base

HERE = Path(__file__).parent
CORPUS = HERE.parent.parent / "training" / "data" / "corpus.jsonl"
VECTORS = 200
LOGITS = 12
LEAD = 0.5  # logits between first and second class; which of two alike comes first says nothing


def corpus_texts(n: int) -> list[str]:
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    test = [r["text"] for r in rows if r["split"] == "test"]
    return test[:: len(test) // n][:n]


@torch.inference_mode()
def vectors() -> None:
    texts = corpus_texts(VECTORS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = build_base(Path(scratch), full_vocabulary=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder).eval()
        found = []
        for text in texts:
            batch = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
            hidden = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).last_hidden_state[0]
            found.append(hidden.mean(0).numpy())
    write("texts.json", texts)
    np.save(HERE / "vectors.npy", np.stack(found).astype(np.float16), allow_pickle=False)


@torch.inference_mode()
def logits() -> None:
    taxonomy = Taxonomy.load(shipped_model() / "taxonomy.toml")
    tokenizer = AutoTokenizer.from_pretrained(shipped_model())
    model = AutoModelForSequenceClassification.from_pretrained(
        shipped_model(), dtype=torch.float32
    ).eval()
    rows = []
    for text in corpus_texts(2 * LOGITS):
        batch = tokenizer(normalise(text), truncation=True, max_length=256, return_tensors="pt")
        found = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[0]
        first, second = found[: len(taxonomy)].topk(2).values.tolist()
        if len(rows) == LOGITS or first - second < LEAD:
            continue
        rows.append(
            {
                "text": text,
                "ids": batch["input_ids"][0].tolist(),
                "logits": [round(v, 4) for v in found.tolist()],
                "label": taxonomy.ids[int(found[: len(taxonomy)].argmax())],
            }
        )
    write("logits.json", rows)


def write(name: str, content: Any) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=0)
    (HERE / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if not (HERE / "vectors.npy").exists():
        vectors()
    logits()
