"""The page on PyPI is README.md, its links made to lead somewhere from there. All else stands in pyproject.toml."""

import re
import sys
from pathlib import Path

from setuptools import setup

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LINK = re.compile(r"(!?)\[([^]]*)]\((?![a-z]+:|#)([^)]+)\)")
"""A picture or a link to a file of the project."""


def on_pypi(text: str, address: str | None, version: str) -> str:
    """Links to files of the project as they are found from elsewhere.

    Args:
        text: Markdown.
        address: of the public repository, such as https://github.com/OWNER/NAME; None where there is none: pictures are
            left out, and of a link its words stay.
        version: whose files are meant.
    """

    def found(link: re.Match[str]) -> str:
        picture, words, path = link.groups()
        if address is None:
            return "" if picture else words
        return f"{picture}[{words}]({address}/{'raw' if picture else 'blob'}/v{version}/{path})"

    return LINK.sub(found, text)


if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    setup(
        long_description=on_pypi(
            Path("README.md").read_text("utf-8"), project["urls"].get("Source"), project["version"]
        ),
        long_description_content_type="text/markdown",
    )
