"""An office's afternoon: 10,000 labelled suggestions of about 60 tokens in a workbook, trained.

Seconds and most memory of ``weilei train`` as a process of its own, with the
default recipe and with ``--fast``, and how many of the corpus's test part the
new model gets right. (The shipped model, where both start, has read most of
these suggestions: what is measured is time; for accuracy see own_city.)

python -m training.benchmarks.office [--rows 10000] [--fast]
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xlsxwriter

from classifier import SuggestionClassifier
from classifier.bundle import shipped_model
from classifier.taxonomy import Taxonomy
from classifier.text import TextEncoder
from training.corpus import read_items

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "training" / "data" / "corpus.jsonl"
_TOKENS = 60
_COMMAND = "from classifier.cli import main; main()"


def main() -> None:
    """Print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    taxonomy = Taxonomy.load(shipped_model() / "taxonomy.toml")
    items = read_items(CORPUS, taxonomy)
    train = [it for it in items if it.split == "train"]
    encoded = TextEncoder(shipped_model() / "tokenizer.json", 256).encode([it.text for it in train])
    lengths = list(map(len, encoded.ids))
    near = sorted(range(len(train)), key=lambda i: abs(lengths[i] - _TOKENS))[: arguments.rows]
    random.Random(0).shuffle(near)
    print(f"{len(near)} suggestions, {sum(lengths[i] for i in near) / len(near):.0f} tokens each")
    with tempfile.TemporaryDirectory() as name:
        table, model = Path(name) / "标注.xlsx", Path(name) / "模型"
        with xlsxwriter.Workbook(str(table)) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, ["内容", "类别"])
            for r, i in enumerate(near, 1):
                category = taxonomy.categories[taxonomy.index(train[i].primary)]
                sheet.write_row(r, 0, [train[i].text, category.name])
        options = ["--fast"] if arguments.fast else []
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", _COMMAND, "train", str(table), "-o", str(model), "--force",
             *options],
            cwd=ROOT, check=True, env={**os.environ, "WEILEI_HOME": str(Path(name) / "home")},
        )  # fmt: skip
        minutes = (time.perf_counter() - begun) / 60
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        test = [it for it in items if it.split == "test"]
        said = SuggestionClassifier.from_pretrained(model).predict([it.text for it in test])
    right = sum(p.primary_id == it.primary for p, it in zip(said, test, strict=True)) / len(test)
    print(f"{minutes:.1f} minutes, {memory:.0f} MB at most, test part of the corpus {right:.3f}")


if __name__ == "__main__":
    main()
