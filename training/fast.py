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
from training.train import Recipe, load_base

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # on the distance from the head of the base
_NEVER = -5.0  # logit of co-handling by a class that the base does not know


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
    `valid_items`. Co-handling stays as the base has it.

    Returns:
        The validation figures, as :func:`training.train.fine_tune` gives them.

    Raises:
        InputError: `base` is not a model folder.
    """
    folder = Path(base)
    if not (folder / "model.onnx").is_file():
        raise InputError(
            f"--fast 要从一个带训练部分的模型文件夹开始，{base} 不是。"
            "请用 --base 指明（源码目录里的 models/weilei-small 就是），或不加 --fast"
        )
    items = [*train_items, *valid_items]
    features = torch.from_numpy(
        pooled_features(folder, [it.full_text for it in items], recipe.max_length)
    )
    labels = torch.tensor([taxonomy.index(it.primary) for it in items])
    k, n = len(taxonomy), len(train_items)
    model, tokenizer, _ = load_base(base, taxonomy)
    head = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
    weight, bias = _known_rows(folder, model.config.id2label, head)
    start = torch.cat([weight[:k], bias[:k, None]], dim=1)
    tried = [fit(features[:n], labels[:n], start, penalty) for penalty in _PENALTIES]
    losses = [float(F.cross_entropy(logits(features[n:], w), labels[n:])) for w in tried]
    best = int(np.argmin(losses))
    guess = logits(features[n:], tried[best]).argmax(1)
    whole = fit(features, labels, start, _PENALTIES[best])
    with torch.no_grad():
        head.weight.copy_(torch.cat([whole[:, :-1], weight[k:]]))
        head.bias.copy_(torch.cat([whole[:, -1], bias[k:]]))
    model.save_pretrained(work / "best")
    tokenizer.save_pretrained(work / "best")
    return {
        "accuracy": float((guess == labels[n:]).float().mean()),
        "macro_f1": float(f1_score(labels[n:], guess, average="macro")),
        "n_train": n,
        "n_validation": len(valid_items),
        "head_penalty": _PENALTIES[best],
        **{f"recipe_{key}": value for key, value in asdict(recipe).items()},
    }


def logits(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Features (n, hidden) and weight with bias (k, hidden + 1) → (n, k)."""
    return features @ weight[:, :-1].T + weight[:, -1]


def fit(
    features: torch.Tensor, labels: torch.Tensor, start: torch.Tensor, penalty: float
) -> torch.Tensor:
    """Weight with bias (k, hidden + 1) of least cross-entropy plus distance from `start`."""
    weight = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(features, weight), labels)
        loss = loss + penalty * (weight - start).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach()


def _known_rows(
    folder: Path, names: dict[int, str], head: torch.nn.Linear
) -> tuple[torch.Tensor, torch.Tensor]:
    """The base's weights and biases for outputs of these names; zero where it has none."""
    from transformers import AutoModelForSequenceClassification

    weight, bias = torch.zeros_like(head.weight), torch.zeros_like(head.bias)
    old = AutoModelForSequenceClassification.from_pretrained(str(folder), dtype=torch.float32)
    layer = [m for m in old.modules() if isinstance(m, torch.nn.Linear)][-1]
    rows = {name: i for i, name in old.config.id2label.items()}
    for i, name in names.items():
        if name in rows:
            weight[i], bias[i] = layer.weight[rows[name]], layer.bias[rows[name]]
        elif name.startswith("协办:"):
            bias[i] = _NEVER
    return weight.detach(), bias.detach()
