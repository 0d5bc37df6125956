"""What the processor can do in hardware, and how its memory is asked for."""

import ctypes
import platform

import torch


def emulates_bfloat16() -> bool:
    """Whether bfloat16 costs this CPU more than float32: an x86 without AMX and without AVX512-BF16.

    There a training step in `bf16-mixed` takes far longer than in `32-true`. With AVX512-BF16 or AMX it is mostly the
    faster one: `scripts/benchmark.py precision` measures it.

    Example:
        >>> isinstance(emulates_bfloat16(), bool)
        True
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return not (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for the next step.

    A training step on a CPU asks for gigabytes in large pieces, which glibc fetches from the system and gives back each
    time; the system fills every page with zeros first. Kept, it is
    there for the next step. Where there is no glibc nothing happens. GPUs keep theirs anyway.

    Example:
        >>> keep_freed_memory()
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)
