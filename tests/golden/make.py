"""Make the golden vectors once: mean-pooled, from the base with its full vocabulary.

python -m tests.golden.make
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from training.base import build_base

HERE = Path(__file__).parent
CORPUS = HERE.parent.parent / "training" / "data" / "corpus.jsonl"


def main() -> None:
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    test = [r["text"] for r in rows if r["split"] == "test"]
    texts = test[:: len(test) // 200][:200]
    with tempfile.TemporaryDirectory() as scratch:
        folder = build_base(Path(scratch), full_vocabulary=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder).eval()
        vectors = []
        with torch.inference_mode():
            for text in texts:
                batch = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
                hidden = model(
                    input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
                ).last_hidden_state[0]
                vectors.append(hidden.mean(0).numpy())
    (HERE / "texts.json").write_text(
        json.dumps(texts, ensure_ascii=False, indent=0), encoding="utf-8"
    )
    np.save(HERE / "vectors.npy", np.stack(vectors).astype(np.float16), allow_pickle=False)


if __name__ == "__main__":
    main()
