"""What the machine can do."""

from __future__ import annotations

import torch


def fast_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 in hardware (else it is slower than fp32)."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
