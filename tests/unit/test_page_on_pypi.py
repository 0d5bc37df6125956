"""The README as PyPI shows it: no link of it is relative."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
on_pypi = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")["on_pypi"]


@pytest.mark.parametrize(
    ("text", "linked", "plain"),
    [
        (
            "see [how to](docs/howto.md#own)",
            "see [how to](https://host/me/it/blob/v1.2/docs/howto.md#own)",
            "see how to",
        ),
        ("![CT](docs/a.png)", "![CT](https://host/me/it/raw/v1.2/docs/a.png)", ""),
        ("[paper](https://arxiv.org/x), [below](#below)",) + ("[paper](https://arxiv.org/x), [below](#below)",) * 2,
    ],
)
def test_links_lead_to_the_files_of_a_version(text, linked, plain):
    assert on_pypi(text, "https://host/me/it", "1.2") == linked
    assert on_pypi(text, None, "1.2") == plain


def test_every_link_of_the_readme_is_found():
    readme = (ROOT / "README.md").read_text()
    files = [link for link in re.findall(r"]\(([^)]*)\)", readme) if "://" not in link and not link.startswith("#")]
    page = on_pypi(readme, "https://host/me/it", "1.2")
    assert len(files) >= 10
    assert all(f"/v1.2/{link})" in page for link in files)
    assert all(link.startswith(("https://", "#")) for link in re.findall(r"]\(([^)]*)\)", page))
