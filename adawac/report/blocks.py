"""What a document consists of. Every text is plain: renderers escape it, so that no name from the data is markup."""

from dataclasses import dataclass
from typing import Literal

from adawac.evaluation.statistics import Verdict


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True)
class Finding:
    """A verdict with its numbers.

    Attributes:
        verdict: None where nothing could be compared.
        title: who against whom, on what.
        text: by how much.
    """

    verdict: Verdict | None
    title: str
    text: str


@dataclass(frozen=True)
class Table:
    """A table; its first column names the lines, the others are numbers.

    Attributes:
        header: of the columns.
        lines: a text a column.
        note: beneath it.
        words: the other columns are words, not numbers.
    """

    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    note: str = ""
    words: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: of its file, without the ending.
        kind: "svg" or "png".
        content: of the file.
        alt: what it shows, for those who do not see it.
        caption: beneath it.
    """

    name: str
    kind: Literal["svg", "png"]
    content: bytes
    alt: str
    caption: str


@dataclass(frozen=True)
class Code:
    """Lines to be typed, or read, as they are."""

    text: str


@dataclass(frozen=True)
class Heading:
    """Within a section."""

    text: str


Block = Paragraph | Finding | Table | Picture | Code | Heading


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        title: its heading.
        blocks: its content.
        short: its name in the contents.
    """

    title: str
    blocks: tuple[Block, ...]
    short: str = ""


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: its heading.
        summary: the answer, in one or two sentences.
        sections: its sections, in order.
    """

    title: str
    summary: str
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> list[Picture]:
        """All figures."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Picture)]
