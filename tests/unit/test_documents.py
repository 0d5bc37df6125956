"""What the documents say is there, and what they show is what was measured."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


def test_the_readme_s_map_names_what_is_there():
    house = re.search(r"^## The house\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[1]
    for name in re.findall(r"\b([a-z_]+(?:\.py|/))", house):
        path = ROOT / name if name in ("adawac/", "configs/", "scripts/", "tests/", "docs/") else ROOT / "adawac" / name
        assert path.exists() or name == "results/", name


def test_every_configuration_a_document_names_is_there():
    for document in DOCUMENTS:
        for name in re.findall(r"configs/[\w/]+\.(?:yaml|json)", document.read_text()):
            assert (ROOT / name).exists(), f"{document.name}: {name}"
