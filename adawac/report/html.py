"""A document as one HTML file that needs nothing else: no network, no script, figures within."""

import base64
import re

from adawac.io.templates import fill_template
from adawac.report.blocks import Document, Section


def render(document: Document) -> str:
    r"""A whole page; every text of the document is escaped, and each kind of block has a template of its name.

    Args:
        document: the document.

    Example:
        >>> from adawac.report.blocks import Paragraph
        >>> page = render(Document("t", "s", (Section("First", (Paragraph("a < b"),)),)))
        >>> page[page.index("<section") : page.index("</section")]
        '<section id="first"><h2>First</h2>\n<p>a &lt; b</p>\n'
    """
    return fill_template("adawac.report", "report.html.jinja", document=document, anchor=_anchor, base64=_base64)


def _anchor(section: Section) -> str:
    return re.sub(r"[^a-z0-9]+", "-", section.title.casefold()).strip("-")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
