"""A document as Markdown, beside the files of its figures."""

import re

from adawac.errors import printable
from adawac.report.blocks import Block, Code, Document, Finding, Heading, Paragraph, Picture, Table

SPECIAL = frozenset("\\`*_{}[]<>|~&$#")


def render(document: Document, figures: str = "figures") -> str:
    r"""Markdown (CommonMark with tables) of a document.

    Args:
        document: the document.
        figures: folder of the figures, relative to the file.

    Example:
        >>> from adawac.report.blocks import Section
        >>> print(render(Document("A <b>", "So.", (Section("B", (Table(("", "Dice"), (("a|b", "0.9"),)),)),))))
        # A \<b\>
        <BLANKLINE>
        So.
        <BLANKLINE>
        ## B
        <BLANKLINE>
        |  | Dice |
        | --- | ---: |
        | a\|b | 0.9 |
        <BLANKLINE>
    """
    parts = [f"# {escape(document.title)}", escape(document.summary)]
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [_block(block, figures) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text as text: nothing in it is markup, HTML or the end of a line, and it begins no list."""
    escaped = "".join(f"\\{char}" if char in SPECIAL else char for char in printable(" ".join(text.splitlines())))
    return re.sub(r"^(\d*)([-+.)])(?=\s)", r"\1\\\2", escaped)


def _block(block: Block, figures: str) -> str:
    match block:
        case Paragraph(text):
            return escape(text)
        case Heading(text):
            return f"### {escape(text)}"
        case Finding(verdict, title, text):
            return f"- **{escape(title)}: {escape(verdict or 'nothing to compare')}.** {escape(text)}"
        case Code(text):
            return "\n".join(f"    {line}" for line in text.splitlines())
        case Picture(name, kind, _, alt, caption):
            return f"![{escape(alt)}]({figures}/{name}.{kind})\n\n{escape(caption)}".rstrip()
        case Table(header, lines, note, words):
            rule = ["---", *["---" if words else "---:"] * (len(header) - 1)]
            rows = [[escape(text) for text in header], rule, *([escape(text) for text in line] for line in lines)]
            table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
            return f"{table}\n\n{escape(note)}".rstrip()
