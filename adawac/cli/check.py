"""`adawac check DATA`: read every case once; report all problems together, and show what is there."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adawac.cli.shown_data import recognised, show, tell
from adawac.data.modality import current
from adawac.errors import DataError, counted, one_line, printable
from adawac.errors.problems import Problem, grouped
from adawac.io.atomic import atomic_write, write_text
from adawac.io.own_code import find_in_working_folder, use_readers
from adawac.training.suggestions import as_options

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
        DataError: the folder as a whole makes no sense; with --json it is printed as such.
    """
    from adawac.data.checkup import check
    from adawac.io.terminal import bar

    find_in_working_folder()
    made = parser()
    args = made.parse_args(list(argv))
    use_readers(args.readers)
    root: Path = args.root.expanduser().resolve()
    parts = made.instantiate(args)
    modality = None if args.modality is None else current(args.modality)
    track = None if args.json else bar("Reading volumes")
    try:
        checkup = check(root, parts.layout, parts.split, args.patient_pattern, modality, args.ignore_label, track)
    except DataError as error:
        if not args.json:
            raise
        print(json.dumps({"data": str(root), "problems": [*map(_plain, error.problems)]}))
        return 2
    picture: Path = args.picture or Path(f"check_{root.name}.png")
    if args.json:
        print(json.dumps(_record(checkup, root), indent=1))
        return 2 if checkup.problems else 0
    _show(checkup, root.name, picture, made)
    if not checkup.problems:
        print(f"no problems in {len(checkup.measured)} cases; next: adawac init {shlex.quote(str(args.root))}")
        return 0
    _tell(checkup, picture.with_suffix(".txt"), made)
    return 2


def _tell(checkup: "Checkup", path: Path, made: "TypedParser") -> None:
    """Print the problems, those of one rule together, and write all of them into a file."""
    tell(checkup.problems, made)
    advice = (
        "; with --skip-bad, `adawac init` and `adawac fit` go on without cases that have one" if checkup.bad else ""
    )
    rest = f", but {len(checkup.whole)} of the whole data set will remain" if checkup.bad and checkup.whole else ""
    print(f"{counted(len(checkup.problems), 'problem')}{advice}{rest}")
    if grouped(checkup.problems) != list(checkup.problems):
        try:
            write_text(path, as_options("\n".join(map(printable, checkup.problems)) + "\n", made))
            print(f"all of them: {path}")
        except OSError as error:
            print(f"no file of all: {path} cannot be written ({error.strerror}); name another place with --picture")


def _plain(line: str) -> dict[str, str]:
    """A problem for a script."""
    kind, name, what, remedy = problem = Problem.of(line)
    return {"of": kind or "data set", "name": name, "problem": what, "remedy": remedy, "rule": problem.rule}


def _record(checkup: "Checkup", root: Path) -> dict[str, Any]:
    """All that was found, for a script."""
    return {
        "data": str(root),
        "sound_cases": list(checkup.measured),
        "classes": list(checkup.classes),
        "problems": [*map(_plain, checkup.problems)],
        "notes": list(checkup.notes),
        "recognised": {finding.topic: finding.found for finding in checkup.recognised},
    }


def parser() -> "TypedParser":
    """The command's options."""
    from adawac.cli.data_parser import data_parser
    from adawac.data.splits import SplitRule

    made = data_parser("adawac check", __doc__)
    made.add_argument("--json", action="store_true", help="print all that was found as JSON, and nothing else")
    made.add_argument(
        "--picture", type=Path, metavar="PNG", help="file to draw; default: check_NAME.png (.txt: all problems)"
    )
    made.add_subclass_arguments(SplitRule, "split", required=False, help="class; default: as in fit")
    return made


def _show(checkup: "Checkup", name: str, picture: Path, made: "TypedParser") -> None:
    """Table, what was recognised, and picture of the cases without a problem."""
    from adawac.figures import data_overview

    if checkup.fingerprint is not None:
        show(checkup.fingerprint, printable(name))
    recognised(checkup.recognised, made)
    tell(checkup.notes, made, "note: ")
    if checkup.measured:
        found = list(checkup.measured.values())
        spacings = [case.cut_spacing for case in found]
        figure = data_overview(list(checkup.measured), [case.voxels for case in found], spacings, checkup.classes)
        try:
            with atomic_write(picture) as unfinished:
                figure.savefig(unfinished, format=picture.suffix[1:] or "png")
            print(f"picture: {picture}")
        except (OSError, ValueError) as error:  # such as in the folder of the data, whose problems shall be said
            why = one_line(error) if isinstance(error, ValueError) else error.strerror
            print(f"no picture: {picture} cannot be written ({why}); name another place with --picture")
