"""`adawac evaluate SOURCE...`: does reweighting help on these data, where, and can the number be trusted?"""

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adawac.data.case_names import AUTO
from adawac.errors import AdaWACError, ConfigError, DataError
from adawac.io.own_code import named, use_readers
from adawac.training.suggestions import Parser

if TYPE_CHECKING:
    from adawac.data.classes import Classes
    from adawac.evaluation import Metadata
    from adawac.evaluation.references import References
    from adawac.metrics import EmptyPolicy
    from adawac.report.sources import Source

MOST_GROUPS = 12
"""Values of a column that is grouped by unasked: more make no table to be read."""

EPILOG = """examples:
  adawac evaluate runs/mine/version_0 runs/mine_pair/version_0 -o report
  adawac evaluate mine=runs/mine/version_0 nnU-Net=nnUNet_predictions --labels labelsTs --images imagesTs -o report
  adawac evaluate adawac@full=runs/a0 adawac@full=runs/a1 pair@full=runs/p0 pair@full=runs/p1 -o report
"""


def main(argv: Sequence[str]) -> int:
    """Parse the arguments, measure, write the report.

    Args:
        argv: arguments after the command.

    Returns:
        Exit status 0.

    Raises:
        ConfigError: something that is needed is not given.
        DataError: all problems of all sources together.
    """
    args = parser().parse_args(argv)

    import torch

    from adawac.evaluation import write_table
    from adawac.io.terminal import Console
    from adawac.metrics import empty_rule
    from adawac.report.make import make_report
    from adawac.report.sources import Source, evaluate_sources
    from adawac.report.wording import left_out_of_means, summary
    from adawac.report.write import write_report
    from adawac.runs.folder import CASES

    use_readers(args.readers)
    policy: EmptyPolicy = args.policy or "penalise"
    empty_rule(policy)  # known, before anything is read
    console = Console(highlight=False)
    sources = [Source.parse(text) for text in args.sources]
    references, why_none = _references(args, sources)
    metrics = {path.rpartition(".")[2]: named(path, "--metrics") for path in args.metrics}
    if references is not None:
        references = replace(references, metrics=metrics)
    evaluated = evaluate_sources(
        sources,
        references,
        policy,
        again=args.predict,
        shared=args.shared_cases,
        device=args.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        track=_progress,
    )
    known = {row.metric for each in evaluated for row in each.run.rows}
    if missing := metrics.keys() - known:
        raise ConfigError(
            f"--metrics: {', '.join(sorted(missing))} is measured of predictions, but all sources are case tables; "
            "give folders of predictions with --labels, or --predict to measure run folders anew"
        )
    if args.policy and (other := sorted({row.policy for each in evaluated for row in each.run.rows} - {policy})):
        raise ConfigError(
            f"--policy is {policy}, but there are case tables that were measured with {', '.join(other)}; add "
            f"--predict to measure run folders anew, or test the runs with --model.policy {policy}"
        )
    report = make_report(
        evaluated,
        references,
        title=args.title or args.output.resolve().name,
        reference=args.reference,
        metadata=_metadata(args),
        patient_pattern=_patients(args),
        shared=args.shared_cases,
        pictures=args.pictures,
        why_no_references=why_none,
        command=shlex.join(["adawac", "evaluate", *argv]),
    )
    rows = [row for run in report.runs for row in run.rows]
    write_table(args.output / CASES, rows)
    if args.parquet:
        write_table(args.output / "cases.parquet", rows)
    more = [named(path, "--sections")(report) for path in args.sections]
    page = write_report(report, args.output, more)
    console.print(summary(report), markup=False, soft_wrap=True)
    for said in dict.fromkeys(filter(None, map(left_out_of_means, report.subsets))):
        console.print(said, markup=False, soft_wrap=True)
    console.print(f"report: {page}", markup=False, soft_wrap=True)
    return 0


def parser() -> Parser:
    """The command's options."""
    made = Parser(
        "adawac evaluate", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="PATH, METHOD=PATH or METHOD@SUBSET=PATH of a run folder, of a folder of predictions by any tool "
        "(label maps, or a folder a case with a mask an organ), or of a case table; "
        "several of one method are its seeds, SUBSET is what it was trained on",
    )
    made.add_argument("-o", "--output", type=Path, required=True, help="folder for the report")
    made.add_argument("--labels", type=Path, metavar="DIR", help="reference label maps, named like the predictions")
    made.add_argument("--images", type=Path, metavar="DIR", help="images of the test cases, for pictures, --predict")
    made.add_argument(
        "--classes",
        metavar="NAMES",
        help="what label values mean: a dataset.json, or names of 1, 2, ... such as liver,spleen; by default a "
        "dataset.json beside the labels or the predictions, or the run's own",
    )
    made.add_argument("--metadata", type=Path, metavar="CSV", help="columns case or patient, and those to group by")
    made.add_argument(
        "--group-by",
        nargs="+",
        metavar="COLUMN",
        help=f"of --metadata, such as site; default: all columns of at most {MOST_GROUPS} values",
    )
    made.add_argument(
        "--patient-pattern",
        "--patients",
        metavar="PATTERN",
        default=AUTO,
        help="whom a case shows: regular expression or CSV, or none: every case is a patient; default: --metadata, if "
        "it has the columns case and patient, else what case tables record, else what the names of the cases suggest",
    )
    made.add_argument("--axis", choices=["axial", "coronal", "sagittal"], default="axial", help="how volumes are cut")
    made.add_argument(
        "--policy", help="what empty masks are worth: penalise (default), skip or paper; case tables keep theirs"
    )
    made.add_argument(
        "--reference", metavar="METHOD", help="compared with; default Pair (equal compute), ERM, the first"
    )
    made.add_argument(
        "--predict", action="store_true", help="predict with the checkpoints, though there are case tables"
    )
    made.add_argument("--shared-cases", action="store_true", help="leave out cases that are not in all sources")
    made.add_argument(
        "--pictures", type=int, default=3, metavar="N", help="worst cases to draw; 0 for none (default: 3)"
    )
    made.add_argument(
        "--readers", nargs="+", default=[], metavar="MODULE.CLASS", help="readers of yours for further file formats"
    )
    made.add_argument(
        "--metrics",
        nargs="+",
        default=[],
        metavar="MODULE.FUNCTION",
        help="metrics of yours, for cases.csv: functions of a class's prediction, its reference and the steps in mm",
    )
    made.add_argument(
        "--sections",
        nargs="+",
        default=[],
        metavar="MODULE.FUNCTION",
        help="sections of yours, at the end of the report: functions of the report that return a Section",
    )
    made.add_argument("--parquet", action="store_true", help="write cases.parquet as well")
    made.add_argument("--title", help="of the report; default: the name of OUTPUT")
    made.add_argument("--device", help="cpu, cuda, ...; default: CUDA if there is one")
    return made


def _references(args: argparse.Namespace, sources: "Sequence[Source]") -> "tuple[References | None, str]":
    """The test cases: from the folders given, else from the first run's own data; or why there are none."""
    from adawac.evaluation.references import References
    from adawac.io.images import find_images
    from adawac.report.sources import recipe_of
    from adawac.runs.folder import RunFolder

    runs = [RunFolder(source.path.resolve()) for source in sources if source.kind == "run"]
    if args.labels is not None:
        images = None if args.images is None else find_images(args.images)
        return References.of_folder(args.labels, _classes(args, sources), images, _patients(args), args.axis), ""
    if args.images is not None or args.classes is not None:
        raise ConfigError("--images and --classes belong to --labels, the folder of the reference label maps; give it")
    if not runs:
        return None, ""
    try:
        return References.of_run(runs[0], recipe_of(runs[0])), ""
    except AdaWACError as error:
        if all(run.cases_file.is_file() for run in runs) and len(runs) == len(sources) and not args.predict:
            return None, str(error)
        raise


def _patients(args: argparse.Namespace) -> str | None:
    """What says whom a case shows, see `adawac.report.patients`."""
    from adawac.evaluation import metadata_header
    from adawac.evaluation.groups import METADATA_KEYS

    if args.patient_pattern == AUTO and args.metadata and set(METADATA_KEYS) <= set(metadata_header(args.metadata)):
        return str(args.metadata)
    return None if args.patient_pattern in ("none", "null") else str(args.patient_pattern)


def _classes(args: argparse.Namespace, sources: "Sequence[Source]") -> "Classes | None":
    """What label values mean; None leaves it to the labels."""
    from adawac.evaluation.references import classes_beside, named_classes, read_classes
    from adawac.report.sources import recipe_of
    from adawac.runs.folder import RunFolder

    if args.classes is not None:
        path = Path(args.classes)
        return (
            read_classes(path)
            if path.suffix == ".json"
            else named_classes([name.strip() for name in args.classes.split(",")])
        )
    if (found := classes_beside(args.labels)) is not None:
        return found
    for source in sources:
        if source.kind == "predictions" and (found := classes_beside(source.path)) is not None:
            return found
        if source.kind == "run":
            return recipe_of(RunFolder(source.path)).data.classes
    return None


def _metadata(args: argparse.Namespace) -> "list[Metadata]":
    """The columns that group cases: those named, else all of few values."""
    from adawac.evaluation import metadata_header, read_metadata
    from adawac.evaluation.groups import METADATA_KEYS

    if args.metadata is None:
        if args.group_by:
            raise ConfigError("--group-by names columns of --metadata, a CSV file; give it")
        return []
    columns = args.group_by or [name for name in metadata_header(args.metadata) if name not in METADATA_KEYS]
    found = [read_metadata(args.metadata, column) for column in columns]
    used = [each for each in found if args.group_by or len(each.groups) <= MOST_GROUPS]
    if not used:
        raise DataError(
            f"--metadata {args.metadata}: no column of at most {MOST_GROUPS} values beside case and patient; add one "
            "to group by, such as site, or name one with --group-by"
        )
    return used


def _progress(cases: Iterable[str]) -> Iterable[str]:
    from rich.progress import track

    return track(list(cases), description="Measuring", disable=not sys.stdout.isatty())
