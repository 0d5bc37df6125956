"""The snippets of docs/howto.md: AdaWAC's weighting, and a draw, in somebody's own training loop."""

import re
from pathlib import Path

import torch

HOWTO = Path(__file__).parents[2] / "docs/howto.md"


def run(heading: str) -> tuple[str, dict]:
    """The snippet under a heading, and what it leaves."""
    section = re.search(rf"^##+ {heading}\n(.*?)(?=^##+ |\Z)", HOWTO.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"docs/howto.md has no section {heading!r}"
    (block,) = re.findall(r"^```python\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    torch.manual_seed(0)
    names: dict = {}
    exec(block, names)
    return block, names


def test_the_weighting_trains_as_documented():
    """Afterwards the network has moved, and so have the weights of all slices."""
    _, names = run("Use the weighting in your own training loop")
    weights = names["weighting"].weights
    assert len(weights) == len(names["dataset"])
    assert weights.isfinite().all()
    assert (weights != 0.5).all()
    assert names["loss"].isfinite()
    assert all(parameter.grad is not None for parameter in names["network"].parameters())


def test_the_draw_follows_the_losses_as_documented():
    """In eight lines; slices with an organ come more often than the others."""
    block, names = run("Use a draw in your own training loop")
    assert len(re.findall(r"  # \d$", block, re.MULTILINE)) == 8
    p, dense = names["sampling"].probabilities(), names["units"].dense
    assert p[dense].min() > 2 * p[~dense].max()
    assert names["losses"].isfinite().all()
