"""A report in a folder: HTML, Markdown with its figures, and all numbers as JSON."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from adawac.io.atomic import atomic_write
from adawac.report import html, markdown
from adawac.report.blocks import Document, Section
from adawac.report.contents import Contents
from adawac.report.document import document
from adawac.report.wording import summary
from adawac.runs.slice_weights import SliceWeights

FIGURES = "figures"


def write_report(report: Contents, folder: Path, sections: Sequence[Section] = ()) -> Path:
    """Write report.html, report.md with its figures, and results.json.

    Args:
        report: what to write.
        folder: made where it is not there; files of an earlier report are replaced, and its other figures removed.
        sections: after those of every report.

    Returns:
        The HTML file.
    """
    content = document(report)
    return write_document(replace(content, sections=(*content.sections, *sections)), results(report), folder)


def write_document(content: Document, numbers: Mapping[str, Any], folder: Path) -> Path:
    """As `write_report`, of what is to be read and the numbers in it.

    Args:
        content: for report.html, report.md and its figures.
        numbers: for results.json.
        folder: made where it is not there.

    Returns:
        The HTML file.
    """
    text = folder / "report.md"
    earlier = text.read_text(encoding="utf-8") if text.is_file() else ""
    files = {f"{FIGURES}/{picture.name}.{picture.kind}": picture.content for picture in content.pictures}
    files |= {
        "report.md": markdown.render(content, FIGURES).encode(),
        "results.json": (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode(),
        "report.html": html.render(content).encode(),
    }
    for name, written in files.items():
        with atomic_write(folder / name) as unfinished:
            unfinished.write_bytes(written)
    # Figures that the earlier report shows: others in the folder are somebody else's.
    for old in set(re.findall(rf"\]\(({FIGURES}/[\w.-]+\.(?:svg|png))\)", earlier)) - files.keys():
        (folder / old).unlink(missing_ok=True)
    return folder / "report.html"


def results(report: Contents) -> dict[str, Any]:
    """All numbers of a report as plain values; what is undefined is null."""
    runs = [{**plain(run), "cases": sorted(run.cases)} for run in report.runs]
    return {"title": report.title, "summary": summary(report), **plain(report), "runs": runs}


def plain(value: object) -> Any:
    """Dataclasses and named tuples as mappings, NaN as null; without what has a file of its own (`repr=False`)."""
    if isinstance(value, SliceWeights):
        return plain({"slices": len(value.case), "mean": value.means, "auroc": value.auroc})
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.repr}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
