"""Training without touching the encoder: only the linear layer on top is fitted anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch.nn import functional as F

from classifier.errors import InputError
from classifier.taxonomy import Taxonomy
from training.corpus import Item
from training.features import pooled_features
from training.head import few_penalty, fit, known_rows, logits, put
from training.train import Recipe, load_base

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # on the distance from the head of the base


def refit_head(
    train_items: Sequence[Item],
    valid_items: Sequence[Item],
    taxonomy: Taxonomy,
    base: str | Path,
    work: Path,
    recipe: Recipe,
) -> dict[str, float]:
    """Logistic regression on the frozen features of `base`; the checkpoint goes to ``work/best``.

    The weights are drawn towards those that the base has for classes of the
    same name, the more so the fewer the examples; how much is chosen on
    `valid_items`, if there are any. Co-handling stays as the base has it.

    Returns:
        The validation figures, as :func:`training.train.fine_tune` gives them.

    Raises:
        InputError: `base` is not a model folder.
    """
    folder = Path(base)
    if not (folder / "model.onnx").is_file():
        raise InputError(
            f"--fast 要从一个带训练部分的模型文件夹开始，{base} 不是。"
            "不写 --base 就从随软件带的开始，或不加 --fast"
        )
    items = [*train_items, *valid_items]
    features = torch.from_numpy(
        pooled_features(folder, [it.full_text for it in items], recipe.max_length)
    )
    labels = torch.tensor([taxonomy.index(it.primary) for it in items])
    k, n = len(taxonomy), len(train_items)
    model, tokenizer, _ = load_base(base, taxonomy)
    weight, bias = known_rows(folder, model)
    start = torch.cat([weight[:k], bias[:k, None]], dim=1)
    figures: dict[str, float] = {}
    penalty = few_penalty(n)
    if valid_items:
        tried = [fit(features[:n], labels[:n], start, p) for p in _PENALTIES]
        losses = [float(F.cross_entropy(logits(features[n:], w), labels[n:])) for w in tried]
        best = int(np.argmin(losses))
        penalty, guess = _PENALTIES[best], logits(features[n:], tried[best]).argmax(1)
        figures = {
            "accuracy": float((guess == labels[n:]).float().mean()),
            "macro_f1": float(f1_score(labels[n:], guess, average="macro")),
        }
    whole = fit(features, labels, start, penalty)
    put(model, torch.cat([whole[:, :-1], weight[k:]]), torch.cat([whole[:, -1], bias[k:]]))
    model.save_pretrained(work / "best")
    tokenizer.save_pretrained(work / "best")
    return {
        **figures,
        "n_train": n,
        "n_validation": len(valid_items),
        "head_penalty": penalty,
        **{f"recipe_{key}": value for key, value in asdict(recipe).items()},
    }
