"""A hook of mkdocs: the documents that lie in the root of the repository are pages of the site, too.

Links lead where they should on a code host as well as on the site: `docs/` is the root of the site, so that
`../SECURITY.md` in docs/faq.md and `docs/speed.md` in CONTRIBUTING.md are one level off there.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("data_README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
UP = re.compile(rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, PAGES))})")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for name in PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links between the root and `docs/` into links within the site."""
    if page.file.src_uri in PAGES:
        return markdown.replace("](docs/", "](")
    return UP.sub(r"](\1\2", markdown)
