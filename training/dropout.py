"""Dropout from bytes: a training step on a CPU spends a seventh of its time on random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class ByteDropout(torch.nn.Module):
    """Dropout (Srivastava et al. 2014) in steps of 1/256, a byte a value.

    The seed of each call is drawn from torch's own generator, so a run that was
    killed and resumed drops what one that was not would have dropped.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.dropped = round(p * 256)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Any shape in, the same shape out; without change outside training."""
        if not self.training or not self.dropped:
            return values
        seed = int(torch.randint(2**31, ()))
        drawn = np.random.Generator(np.random.SFC64(seed)).bytes(values.numel())
        kept = torch.frombuffer(bytearray(drawn), dtype=torch.uint8) >= self.dropped
        scale = kept.view(values.shape).to(values.dtype) * (256 / (256 - self.dropped))
        return values * scale


def use_byte_dropout(model: Any) -> None:
    """Replace each ``torch.nn.Dropout`` of `model` that drops anything, in place."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Dropout) and child.p > 0:
                setattr(module, name, ByteDropout(child.p))
