"""`adawac check DATA`: read every case once; report all problems together, and show what is there."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adawac.errors import printable
from adawac.io.atomic import atomic_write
from adawac.io.own_code import find_in_working_folder, use_readers

if TYPE_CHECKING:
    from adawac.data.checkup import Checkup
    from adawac.training.typed_parser import TypedParser


def main(argv: Sequence[str]) -> int:
    """Parse the arguments and check.

    Args:
        argv: arguments after the command.

    Returns:
        Exit status: 0 all is well, 2 something has to be corrected.

    Raises:
        DataError: the folder as a whole makes no sense.
    """
    from adawac.data.checkup import check
    from adawac.io.terminal import bar

    find_in_working_folder()
    made = parser()
    args = made.parse_args(list(argv))
    use_readers(args.readers)
    root: Path = args.root.expanduser().resolve()
    parts = made.instantiate(args)
    checkup = check(root, parts.layout, parts.split, args.patient_pattern, args.modality, track=bar("Reading volumes"))

    _show(checkup, root.name, args.picture or Path(f"check_{root.name}.png"))
    problems = checkup.problems
    for problem in problems:
        print(printable(problem))
    if problems:
        found = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        advice = (
            "; with --skip-bad, `adawac init` and `adawac fit` go on without cases that have one" if checkup.bad else ""
        )
        rest = f", but {len(checkup.whole)} of the whole data set will remain" if checkup.bad and checkup.whole else ""
        print(f"{found}{advice}{rest}")
        return 2
    print(f"no problems in {len(checkup.measured)} cases")
    return 0


def parser() -> "TypedParser":
    """The command's options."""
    from adawac.data.case_names import AUTO
    from adawac.data.layouts import Layout
    from adawac.data.modality import Modality
    from adawac.data.splits import SplitRule
    from adawac.training.typed_parser import TypedParser  # so that layout and split take their settings as in `fit`

    made = TypedParser(prog="adawac check", description=__doc__)
    # Not called `data`: jsonargparse would take `--data.layout`, which is of `fit`, for a part of it.
    made.add_argument("root", type=Path, metavar="DATA", help="folder of the data set")
    made.add_argument("--patient_pattern", type=str | None, default=AUTO, help="as in fit")
    made.add_argument("--modality", type=Modality, help="as in fit; default: what the layout says")
    made.add_argument("--picture", type=Path, metavar="PNG", help="file to draw; default: check_NAME.png")
    made.add_subclass_arguments(Layout, "layout", required=False, help="class; default: recognised")
    made.add_subclass_arguments(SplitRule, "split", required=False, help="class; default: as in fit")
    made.add_argument(
        "--readers", nargs="+", default=[], help="class paths of readers of yours, as data.readers of fit"
    )
    return made


def _show(checkup: "Checkup", name: str, picture: Path) -> None:
    """Table and picture of the cases without a problem."""
    from adawac.cli.init import show
    from adawac.data.patients import describe_patients
    from adawac.figures import data_overview

    if checkup.fingerprint is not None:
        show(checkup.fingerprint, printable(name))
    print(f"patients: {printable(describe_patients(checkup.patients))}")
    if checkup.measured:
        found = list(checkup.measured.values())
        figure = data_overview(
            list(checkup.measured), [case.voxels for case in found], [case.spacing for case in found], checkup.classes
        )
        try:
            with atomic_write(picture) as unfinished:
                figure.savefig(unfinished, format=picture.suffix[1:] or "png")
            print(f"picture: {picture}")
        except OSError as error:  # such as in the folder of the data: what is wrong with them shall be said
            print(f"no picture: {picture} cannot be written ({error.strerror}); name another place with --picture")
