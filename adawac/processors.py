"""What the processor can do in hardware."""

import platform

import torch


def emulates_bfloat16() -> bool:
    """Whether bfloat16 costs this CPU more than float32: an x86 without AMX and without AVX512-BF16.

    Measured there, a training step in `bf16-mixed` takes about six times as long as in `32-true`; with AVX512-BF16
    equally long, with AMX 0.4 times.

    Example:
        >>> isinstance(emulates_bfloat16(), bool)
        True
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return not (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
