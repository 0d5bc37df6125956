"""What `adawac check` and `adawac init` show of a data set: a table, and what was recognised in it."""

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

from adawac.errors import percent, printable
from adawac.errors.problems import grouped
from adawac.training.suggestions import as_options

if TYPE_CHECKING:
    from adawac.data.fingerprint import Fingerprint, Spread
    from adawac.data.overview import Finding
    from adawac.training.typed_parser import TypedParser


def show(fingerprint: "Fingerprint", title: str) -> None:
    """Print a fingerprint as a short table.

    Args:
        fingerprint: of the training cases of a data set.
        title: what to call the data set.
    """
    from rich.markup import escape
    from rich.table import Table

    from adawac.io.terminal import Console

    f = fingerprint
    console = Console()
    found = f"{f.num_cases} training cases, {f.num_slices} slices"
    console.print(f"[bold]{escape(title)}[/bold]: {found}", highlight=False, soft_wrap=True)
    facts = Table.grid(padding=(0, 2))
    for channel, p in zip(f.channels, f.intensities, strict=True):
        facts.add_row(
            escape(channel),
            f"{p.low:.4g} to {p.high:.4g}, median {p.median:.4g} (0.5 % to 99.5 %)",
        )
    facts.add_row("size, voxels", _range(f.shape))
    facts.add_row("spacing, mm", "unknown" if f.spacing is None else _range(f.spacing))
    those = "the others" if f.ignored else "the slices"
    if f.ignored:
        facts.add_row("wholly ignored", f"{f.ignored} of {f.num_slices} slices")
    thirds = ", ".join("-" if isnan(share) else percent(share) for share in f.dense_thirds)
    by_thirds = f"; by thirds {thirds} %" * (min(f.shape.low) > 2)
    facts.add_row("label-dense", f"{percent(f.dense)} % of {those}{by_thirds}")
    console.print(facts, highlight=False)
    over = ", all channels" if len(f.channels) > 1 else ""
    classes = Table("class", "cases", "slices", "voxels", f"intensity (5 % to 95 %{over})")
    for c in f.classes:
        between = "" if c.intensities is None else f"{c.intensities[0]:.4g} to {c.intensities[1]:.4g}"
        style = None if c.voxels else "red"
        classes.add_row(escape(c.name), str(c.cases), str(c.slices), f"{c.voxels:,}", between, style=style)
    console.print(classes, highlight=False)


def recognised(findings: "Sequence[Finding]", made: "TypedParser") -> None:
    """Print what was recognised, and what makes another choice: an option, or a key of the configuration.

    Args:
        findings: of the data.
        made: the command's options.
    """
    for topic, found, setting in findings:
        typed = as_options(setting, made)
        place = " in the configuration" if typed == setting else ""
        print(f"{topic:12} {printable(found)}" + f" [otherwise: {typed}{place}]" * bool(setting))


def tell(lines: Sequence[str], made: "TypedParser", label: str = "") -> None:
    """Print lines on the data, those of one rule together.

    Args:
        lines: problems or notes.
        made: the command's options, which stand for settings.
        label: before each.
    """
    for line in grouped(lines):
        print(label + printable(as_options(line, made)))


def _range(spread: "Spread") -> str:
    """Of each axis the median over the cases, and from where to where it goes."""
    axes = zip(*([f"{v:.4g}" for v in row] for row in (spread.median, spread.low, spread.high)), strict=True)
    each = [middle if low == high else f"{middle} ({low} to {high})" for middle, low, high in axes]
    return " x ".join(each) + ", median (range)" * (spread.low != spread.high)
