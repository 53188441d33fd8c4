"""Join our labels of public messages with their text, which stays where it is.

The text may not be published, so ``training/data/messages.jsonl`` holds only
ids and labels. Who has the text makes a labelled file of both:

python -m training.messages ../shared/data/unlabelled.jsonl build/messages.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

LABELS = Path(__file__).parent / "data" / "messages.jsonl"
_KEPT = ("source", "title", "text")


def join_labels(messages: Path, labels: Path, output: Path) -> int:
    """Write the labelled messages as JSONL; gives their number.

    Raises:
        KeyError: a label is of a message that `messages` does not have.
    """
    lines = messages.read_text(encoding="utf-8").splitlines()
    texts = {row["id"]: row for row in map(json.loads, lines)}
    rows = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", encoding="utf-8") as file:
        for row in rows:
            found = {**{key: texts[row["id"]][key] for key in _KEPT}, **row}
            file.write(json.dumps(found, ensure_ascii=False) + "\n")
    return len(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("messages", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    print(join_labels(arguments.messages, LABELS, arguments.output))
