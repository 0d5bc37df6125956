"""`adawac evaluate SOURCE...`: does reweighting help on these data, where, and can the number be trusted?"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from adawac.data.case_names import AUTO
from adawac.errors import ConfigError
from adawac.io.own_code import named, use_readers
from adawac.processes.cluster import HELP, each_on, one_by_one
from adawac.training.suggestions import Parser

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

    names = [path.rpartition(".")[2] for path in args.metrics]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ConfigError(f"--metrics: two functions are called {twice[0]}, as cases.csv calls them; rename one")

    from adawac.io.terminal import Console
    from adawac.report.compare import evaluate

    use_readers(args.readers)
    settings = {option: value for option, value in vars(args).items() if option not in ("readers", "on")} | {
        "classes": _names(args.classes),
        "group_by": args.group_by or (),
        "patient_pattern": None if args.patient_pattern in ("none", "null") else args.patient_pattern,
        "metrics": {name: named(path, "--metrics") for name, path in zip(names, args.metrics, strict=True)},
        "sections": [named(path, "--sections") for path in args.sections],
        "command": shlex.join(["adawac", "evaluate", *argv]),
    }
    with each_on(args.on) as each:
        report = evaluate(**settings, each=each or one_by_one)
    console = Console(highlight=False)
    for said in (report.summary, *report.left_out, f"report: {report.page}"):
        console.print(said, markup=False, soft_wrap=True)
    return 0


def _names(classes: str | None) -> str | list[str] | None:
    """A file of classes, or their names."""
    if classes is None or classes.endswith(".json"):
        return classes
    return [name.strip() for name in classes.split(",")]


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
    made.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="reference label maps, named like the predictions; or a pattern such as 'DATA/*/seg.nii.gz', in which * "
        "is the case (SOURCE and --images may be one, too)",
    )
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
        help="of --metadata, such as site; default: all columns of few values",
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
    made.add_argument("--on", help=f"measure on {HELP}")
    return made
