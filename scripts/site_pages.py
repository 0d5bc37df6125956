"""A hook of mkdocs: the documents that lie in the root of the repository are pages of the site, too.

Links lead where they should on a code host as well as on the site: `docs/` is the root of the site, so that
`../SECURITY.md` in docs/faq.md and `docs/speed.md` in CONTRIBUTING.md are one level off there. README is no page of
the site: where a page says `<!-- README: Methods -->`, the site shows that section of it.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("data_README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
UP = re.compile(rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, PAGES))})")

SHOWN = re.compile(r"<!-- README: (.+) -->")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for name in PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links between the root and `docs/` into links within the site."""
    if page.file.src_uri in PAGES:
        return markdown.replace("](docs/", "](")
    shown = SHOWN.sub(lambda place: _section(place[1]), markdown)
    return UP.sub(r"](\1\2", shown).replace("](../README.md#methods)", "](methods.md)")


def _section(heading: str) -> str:
    """A section of README, without its heading."""
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    return rest.partition("\n## ")[0].replace("](docs/", "](")
