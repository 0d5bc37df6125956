"""Memory that a process keeps, seen from outside."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import torch
from pathlib import Path
from adawac.training.performance.cpu import keep_freed_memory

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "kept":
    keep_freed_memory()
before = resident()
large = torch.ones(50_000_000)
assert resident() - before > 150_000_000
del large
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc, whose memory this is about")
@pytest.mark.parametrize("kept", ["kept", "given back"])
def test_what_is_freed_is_kept(kept):
    done = subprocess.run([sys.executable, "-c", SCRIPT, kept], capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 150_000_000) is (kept == "kept")
