"""The snippet of docs/howto.md: AdaWAC's weighting in somebody's own training loop."""

import re
from pathlib import Path

import torch

HOWTO = Path(__file__).parents[2] / "docs/howto.md"
HEADING = "Use the weighting in your own training loop"


def test_the_snippet_trains():
    """It runs as it stands; afterwards the network has moved, and so have the weights of all slices."""
    section = re.search(rf"^##+ {HEADING}\n(.*?)(?=^##+ |\Z)", HOWTO.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"docs/howto.md has no section {HEADING!r}"
    blocks = re.findall(r"^```python\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert blocks, f"the section {HEADING!r} holds no python block"
    torch.manual_seed(0)
    names: dict = {}
    for block in blocks:
        exec(block, names)
    weights = names["weighting"].weights
    assert len(weights) == len(names["dataset"])
    assert weights.isfinite().all()
    assert (weights != 0.5).all()
    assert names["loss"].isfinite()
    assert all(parameter.grad is not None for parameter in names["network"].parameters())
