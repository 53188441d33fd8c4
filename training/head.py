"""The linear layer on top of an encoder: known rows kept, unknown ones fitted before anything else.

A head drawn at random pulls a good encoder apart in the first steps of fine-tuning, the more
so the fewer the examples. So it is fitted on the frozen encoder first (linear probing, then
fine-tuning: Kumar et al. 2022, arXiv:2202.10054).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerBase

from classifier.text import normalise
from training.batches import length_batches

_NEVER = -5.0  # logit of co-handling by a class that the base does not know
_MOST = 2000  # examples that a head is fitted on before fine-tuning
_C = 0.01  # inverse strength of the penalty, as scikit-learn counts it; the best of four in LOG.md


def last_linear(model: Any) -> torch.nn.Linear:
    """The layer that gives the logits."""
    return [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]


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


def few_penalty(n: int) -> float:
    """What :func:`fit` asks for where `n` examples are too few to choose it on some of them."""
    return 1 / (2 * _C * n)


def known_rows(base: str | Path, model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and biases that `base` has for outputs of these names; zero where it has none."""
    head = last_linear(model)
    weight, bias = torch.zeros_like(head.weight), torch.zeros_like(head.bias)
    old = AutoModelForSequenceClassification.from_pretrained(str(base), dtype=torch.float32)
    layer, rows = last_linear(old), {name: i for i, name in old.config.id2label.items()}
    for i, name in model.config.id2label.items():
        if name in rows:
            weight[i], bias[i] = layer.weight[rows[name]], layer.bias[rows[name]]
        elif name.startswith("协办:"):
            bias[i] = _NEVER
    return weight.detach(), bias.detach()


def put(model: Any, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Write weights (n_outputs, hidden) and biases (n_outputs,) into the last layer."""
    head = last_linear(model)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)


def warm_start(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    base: str | Path,
    texts: Sequence[str],
    labels: np.ndarray,
    max_length: int,
) -> None:
    """Fit the head on frozen features of `texts`, unless `base` has all of its classes.

    Args:
        labels: class indices, shape (n,); the classes are the first outputs.
    """
    names = model.config.id2label
    if AutoConfig.from_pretrained(str(base)).id2label == names:
        return
    chosen = random.Random(0).sample(range(len(texts)), min(_MOST, len(texts)))
    features = head_inputs(model, tokenizer, [texts[i] for i in chosen], max_length)
    k = sum(not name.startswith("协办:") for name in names.values())
    weight, bias = known_rows(base, model)
    start = torch.cat([weight[:k], bias[:k, None]], dim=1)
    gold = torch.from_numpy(labels[chosen])
    fitted = fit(features, gold, start, few_penalty(len(chosen)))
    put(model, torch.cat([fitted[:, :-1], weight[k:]]), torch.cat([fitted[:, -1], bias[k:]]))


@torch.no_grad()
def head_inputs(
    model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int
) -> torch.Tensor:
    """What the last layer sees, shape (n, hidden)."""
    model.train(False)
    head, seen = last_linear(model), []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    found = torch.zeros(len(texts), head.in_features)
    try:
        for part, batch in length_batches(tokenizer, [normalise(t) for t in texts], max_length):
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            found[part] = seen.pop()
    finally:
        hook.remove()
    return found
