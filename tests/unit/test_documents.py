"""What the documents say is there, and what they show is what was measured."""

import json
import re
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"configs/RECIPE.yaml", "configs/inference.json"}
"""A placeholder; and what lies in an exported bundle."""

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def between(text: str, name: str) -> str:
    """What stands between two comments that name a part of a document."""
    (part,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    return part.strip()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_readme_shows_the_committed_results():
    shown = between((ROOT / "README.md").read_text(), "results")
    measured = (ROOT / "docs/results/openkbp.md").read_text()
    assert shown in measured


def test_the_readme_s_costs_are_the_measured_ones():
    """A method's row shows the median ratio of its step to pair's; of two names in a row the first one's."""
    ratios = json.loads((ROOT / "docs/results/benchmark_methods.json").read_text())["ratios"]
    measured = {name.replace("-", "").lower(): f"{median(values):.2f}" for name, values in ratios.items()}
    shown = re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| ([\d.]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {name.lower(): cost for name, cost in shown}.items() <= measured.items()
    assert {"AdaWAC", "Pair", "ERM", "GroupDRO"} <= {name for name, _ in shown}


def test_the_readme_s_map_names_what_is_there():
    readme = (ROOT / "README.md").read_text()
    house = re.search(r"^## The house\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)[1]
    rooms = re.findall(r"^      ([a-z_]+(?:\.py|/))", house, re.MULTILINE)
    assert len(rooms) > 10
    for room in rooms:
        assert (ROOT / "adawac" / room).exists(), room
    for room in (ROOT / "adawac").iterdir():  # and nothing is missing
        if not room.name.startswith(("_", "py.typed")):
            assert room.name in house, room.name


def test_every_configuration_a_document_names_is_there():
    for document in DOCUMENTS:
        for name in re.findall(r"configs/[\w/]+\.(?:yaml|json)", document.read_text()):
            assert name in ELSEWHERE or (ROOT / name).exists(), f"{document.name}: {name}"
