"""`adawac init DATA`: look at a data folder; write what `adawac fit` trains, and a study that compares."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adawac.cli.shown_data import recognised, show, tell
from adawac.cli.starting_config import render_config, render_study, study_folds
from adawac.errors import ConfigError, DataError
from adawac.io.atomic import write_text
from adawac.io.given import given_path
from adawac.io.own_code import find_in_working_folder, use_readers

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from adawac.data.layouts import Case
    from adawac.data.split import Split
    from adawac.training.typed_parser import TypedParser


def main(argv: Sequence[str]) -> int:
    """Look at the data, write both files and say what to type next.

    Args:
        argv: arguments after the command.

    Returns:
        Exit status 0.

    Raises:
        ConfigError: a file to write is there already.
        DataError: all problems of the data together.
    """
    find_in_working_folder()
    made = parser()
    output, study = _write(made, made.parse_args(list(argv)))
    print(f"Wrote {output} and {study}. Next, a training; and whether reweighting helps on these data:")
    print(f"  adawac fit {shlex.quote(str(output))}\n  adawac study {shlex.quote(str(study))}")
    return 0


def init(data: str | os.PathLike[str], **options: Any) -> Path:
    """Look at a data folder and write a configuration for it, and a study, as `adawac init` does.

    Args:
        data: folder of the data set.
        options: of the command, by their names: `name`, `output`, `layout`, `patient_pattern`, `skip_bad`, `force`, ...

    Returns:
        The configuration, for `adawac.fit`.

    Raises:
        ConfigError: an option is not known, or a file to write is there already.
        DataError: all problems of the data together.
    """
    return _write(*_read(data, options))[0]


def plan(data: str | os.PathLike[str], **options: Any) -> str:
    """Look at a data folder and return the text of the configuration that `init` would write.

    Args:
        data: folder of the data set.
        options: as for `init`.

    Raises:
        ConfigError: an option is not known.
        DataError: all problems of the data together.
    """
    return _plan(*_read(data, options))[0]


def _read(data: str | os.PathLike[str], options: Mapping[str, Any]) -> tuple["TypedParser", "Namespace"]:
    """Options that were given by their names, as the command line would read them."""
    from jsonargparse import ArgumentError

    made = parser()
    made.exit_on_error = False
    try:
        root = given_path(data, "init: data", "give the folder of a data set")
        return made, made.parse_object({"root": str(root), **options})
    except ArgumentError as error:
        raise made.refusal(error) from None


def _write(made: "TypedParser", args: "Namespace") -> tuple[Path, Path]:
    """Look at the data and write the configuration and the study."""
    name = _name(args)
    output: Path = args.output or Path(f"{name}.yaml")
    study = output.with_name(f"{output.stem}_study.yaml")
    for path in (output, study):
        if path.is_dir() or (path.exists() and not args.force):
            raise ConfigError(f"{path} exists already; add --force to overwrite the file, or give another name with -o")
    text, of_study, few = _plan(made, args)
    if few:
        print(few)
    write_text(output, text)
    write_text(study, render_study(name, output.name, **of_study))
    return output, study


def _name(args: "Namespace") -> str:
    folder: str = args.root.expanduser().resolve().name
    return args.name or "".join(c if c.isalnum() or c in "-_." else "_" for c in folder)


def parser() -> "TypedParser":
    """The command's options."""
    from jsonargparse.typing import PositiveFloat

    from adawac.cli.data_parser import data_parser

    made = data_parser("adawac init", __doc__)
    made.add_argument(
        "-o", "--output", type=Path, metavar="YAML", help="file to write; default: NAME.yaml; the study beside it"
    )
    made.add_argument("--name", type=str, help="name of the experiment; default: the folder's")
    made.add_argument("--3d", dest="patches", action="store_true", help="train on patches instead of slices")
    made.add_argument(
        "--device",
        type=Literal["cpu", "gpu"] | None,
        help="that will train, which decides on the network's width and the number of steps; default: a GPU if there "
        "is one",
    )
    made.add_argument(
        "--memory",
        type=PositiveFloat | None,
        metavar="GIB",
        help="what a step may take, which decides on pixels, patch and batch; default: 8 on a GPU, 1 on a CPU",
    )
    made.add_argument("--force", action="store_true", help="overwrite the files")
    made.add_argument("--skip-bad", action="store_true", help="go on without cases that have a problem, as fit will")
    return made


def _plan(made: "TypedParser", args: "Namespace") -> tuple[str, dict[str, Any], str]:
    """Measure the training cases of a data set, show what was found and make the configuration for it.

    Of the others, which the configuration validates and tests on, only the names are looked at (and the PatientID).

    Args:
        made: has read the arguments.
        args: of the command.

    Returns:
        Text of a YAML file; what `render_study` is to know; a note on the study where few are tested, else empty.

    Raises:
        ConfigError: `adawac fit` would refuse the configuration.
        DataError: all problems of the data together.
    """
    import torch
    import yaml

    from adawac.data.checkup import absent
    from adawac.data.classes import Classes
    from adawac.data.fingerprint import Fingerprint, measure
    from adawac.data.layouts import detect
    from adawac.data.modality import current
    from adawac.data.overview import overview
    from adawac.io.terminal import bar
    from adawac.training.performance.cpu import emulates_bfloat16
    from adawac.training.plan import make_plan

    use_readers(args.readers)
    root: Path = args.root.expanduser().resolve()
    layout = detect(root, made.instantiate(args).layout)
    collection, unlisted = layout.sound(root, lambda cases: _parts(root, cases, args.patient_pattern)[2])
    bad = [*unlisted]
    collection = collection.told(None if args.modality is None else current(args.modality), args.ignore_label)
    try:
        pattern, split, training, patients = _parts(root, collection.cases, args.patient_pattern)
        measured, unsound = measure(layout, collection, training, bar("Reading volumes"), collection.modality)
    except DataError as error:
        raise DataError.from_problems([*bad, *error.problems]) from None
    bad += sorted(unsound.values())
    if bad and not args.skip_bad:
        raise DataError.from_problems(bad)
    tell(bad, made, "left out: ")
    fingerprint = Fingerprint.of_measured(collection, list(measured.values()))
    show(fingerprint, f"{collection.name} ({type(layout).__name__})")
    if held_out := len(split.val) + len(split.test):
        print(f"not read: {held_out} cases to validate and test")
    names = Classes.from_labels(collection.labels, collection.ignore_value).names
    recognised(overview(type(layout).__name__, collection, measured, names, patients), made)
    notes = [note for found in measured.values() for note in found.notes]
    tell([*collection.passed_over, *split.notes, *notes, *absent(names, measured)], made, "note: ")
    split = replace(split, train=tuple(measured))  # as in `fit`
    num_bad = len(bad) if args.skip_bad else None
    device: Literal["cpu", "gpu"] = args.device or ("gpu" if torch.cuda.is_available() else "cpu")
    plan = make_plan(fingerprint, args.memory, args.patches, device)
    how = args.layout.as_dict() if args.layout else type(layout).__name__
    tested, there = (len({patients[case] for case in cases}) for cases in (split.test, patients))
    few = "1 patient to test is" if tested == 1 else f"{tested} patients to test are"
    folds = study_folds(tested, there)
    note = f"{few} too few for a verdict: the study tests each of {there} once, in {folds} folds" if folds else ""
    given = (num_bad, args.ignore_label, collection.unannotated, device == "gpu" or not emulates_bfloat16())
    text = render_config(root, _name(args), how, pattern, split, fingerprint, plan, *given)
    if args.readers:  # so that fit reads them as well
        text = text.replace("\ndata:\n", f"\ndata:\n  readers: [{', '.join(args.readers)}]\n", 1)
    from adawac.training.configuration import resolve  # takes seconds, so that what is wrong with data is said before

    resolve(yaml.safe_load(text))  # as `adawac fit` will, so that it cannot be refused there
    return text, {"folds": folds, "strong": plan.views == "StrongAugmentation"}, note


def _parts(
    root: Path, cases: "Sequence[Case]", pattern: str | None
) -> "tuple[str | None, Split, list[Case], dict[str, str]]":
    """What the configuration will say of patients, the split that it will make, whom it trains on, and all patients."""
    from adawac.data.patients import SuggestedPatients, patients_in
    from adawac.data.splits import AutoSplit

    labelled = [case for case in cases if case.label]
    patients = patients_in(labelled, pattern)
    if isinstance(patients, SuggestedPatients):
        pattern, patients = patients.pattern, dict(patients)
    split = AutoSplit().split(root, labelled, patients)
    return pattern, split, [case for case in labelled if case.id in split.train], patients
