"""Make the committed reports anew from their case tables, after the way in which they are computed has changed.

    python scripts/remake_reports.py                           # all in docs/results
    python scripts/remake_reports.py docs/results/openkbp5     # some
    python scripts/document_tables.py                          # then the tables of the documents

Of each folder with cases.parquet and results.json: report.md, results.json and the figures, and report.html where there
is one. What a case table does not hold is taken over: the title, the reference, what is recorded of the runs, the
command that was typed, and the chapter on the weights, which were of every training slice.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from adawac.data.sampling.draw_summary import DrawSummary
from adawac.evaluation import CaseRow, read_table
from adawac.report.blocks import Block, Document, Heading, Picture, Section, Table
from adawac.report.document import document
from adawac.report.make import make_report
from adawac.report.runs import MethodRun
from adawac.report.write import results, write_document

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS, BEFORE_WEIGHTS = "What the weights do", "Where it helps, and where not"
RECORDED = {field.name for field in fields(MethodRun)} - {"rows", "weights", "predict"}


def main(argv: Sequence[str]) -> int:
    """Remake all or some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found = sorted(path.parent for path in ROOT.glob("docs/results/*/cases.parquet"))
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", default=found, help="default: all")
    for folder in parser.parse_args(argv).folders:
        remake(folder)
        print(folder)
    return 0


def remake(folder: Path) -> None:
    """Replace the report in a folder."""
    then = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    report = make_report(
        recorded_runs(folder, then),
        title=then["title"],
        reference=then["reference"],
        pictures=0,
        command=then["command"],
        unfinished=then["unfinished"],
    )
    numbers = results(report) | {"left_out": then["left_out"]}
    for now, was in [*pairs(numbers["runs"], then["runs"]), *pairs(methods(numbers), methods(then))]:
        now["weights"] = was["weights"]
    has_page = (folder / "report.html").is_file()
    page = write_document(with_weights(document(report), folder), numbers, folder)
    if not has_page:
        page.unlink()


def recorded_runs(folder: Path, then: dict[str, Any]) -> list[MethodRun]:
    """The runs of a report, with what its results say of them beside the case table."""
    rows: dict[str, list[CaseRow]] = {}
    for row in read_table(folder / "cases.parquet"):
        rows.setdefault(row.run, []).append(row)
    runs = [{name: value for name, value in run.items() if name in RECORDED} for run in then["runs"]]
    for run in runs:
        if run.get("draws"):
            run["draws"] = DrawSummary(**run["draws"])
    return [MethodRun(**run, rows=rows[run["name"]]) for run in runs]


def methods(numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """Results of all methods of all subsets."""
    return [method for subset in numbers["subsets"] for method in subset["methods"]]


def pairs(now: list[dict[str, Any]], then: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What is of one name, then and now."""
    if [each["name"] for each in now] != [each["name"] for each in then]:
        raise ValueError("results.json and cases.parquet do not name the same runs and methods in the same order")
    return list(zip(now, then, strict=True))


def with_weights(content: Document, folder: Path) -> Document:
    """The chapter on the weights, as the report has it, in its place."""
    text = (folder / "report.md").read_text(encoding="utf-8")
    if not (old := re.search(rf"## {WEIGHTS}\n\n(.*?)\n*(?=\n## |\Z)", text, re.DOTALL)):
        return content
    chapter = Section(WEIGHTS, tuple(blocks(old[1].split("\n\n"), folder)), "Weights")
    place = [section.title for section in content.sections].index(BEFORE_WEIGHTS) + 1
    return replace(content, sections=(*content.sections[:place], chapter, *content.sections[place:]))


def blocks(parts: Sequence[str], folder: Path) -> Iterator[Block]:
    """Headings, figures with their captions and tables with their notes, out of the Markdown that they became."""
    texts = iter(parts)
    for part in texts:
        if picture := re.fullmatch(r"!\[(.*)\]\((figures/([\w.-]+)\.svg)\)", part):
            content = (folder / picture[2]).read_bytes()
            yield Picture(picture[3], "svg", content, plain(picture[1]), plain(next(texts)))
        elif part.startswith("| "):
            header, _, *lines = [tuple(map(plain, line[2:-2].split(" | "))) for line in part.splitlines()]
            yield Table(header, tuple(lines), plain(next(texts)))
        else:
            yield Heading(plain(part.removeprefix("### ")))


def plain(markdown: str) -> str:
    r"""Text without the backslashes that kept it from being markup.

    Example:
        >>> plain(r"adawac\_paper")
        'adawac_paper'
    """
    return re.sub(r"\\(.)", r"\1", markdown)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
