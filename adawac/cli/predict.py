"""`adawac predict RUN [RUN ...] -i IN -o OUT`: segment images with checkpoints and nothing else."""

from collections.abc import Sequence
from pathlib import Path

from adawac.errors import ConfigError
from adawac.io.own_code import find_in_working_folder, use_readers
from adawac.processes.cluster import HELP, each_on
from adawac.training.suggestions import Parser


def main(argv: Sequence[str]) -> int:
    """Parse the arguments and predict.

    Args:
        argv: arguments after the command.
    """
    args = parser().parse_args(argv)
    if bool(args.run) == bool(args.weights):
        parser().error("give either a RUN, or several, or --weights")
    if args.trust:  # also a network's class that lies there
        find_in_working_folder()
    from adawac.cli.predict_files import predict_files  # not needed for --help
    from adawac.inference.scripted import is_scripted

    if none := [path for path in args.weights if not is_scripted(path)]:
        raise ConfigError(f"--weights {none[0]} is no TorchScript of `adawac export`; give a checkpoint or run as RUN")
    use_readers(args.readers)
    with each_on(args.on, args.device) as each:
        predict_files(
            [*args.run, *args.weights],
            [args.input],
            args.output,
            device=args.device,
            flip_left_right=args.flip,
            largest_component=args.largest_component,
            probabilities=args.probabilities,
            pictures=args.pictures,
            overwrite=args.overwrite,
            trust=args.trust or bool(args.weights),
            each=each,
        )
    return 0


def parser() -> Parser:
    """The command's options."""
    made = Parser("adawac predict", description=__doc__)
    made.add_argument(
        "run",
        type=Path,
        nargs="*",
        help="run folder (its best checkpoint is taken) or checkpoint file; the probabilities of several are averaged",
    )
    made.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        default=[],
        metavar="MODEL.ts",
        help="in place of RUN: TorchScript that `adawac export` wrote; it is a program, and runs",
    )
    made.add_argument(
        "-i",
        "--input",
        type=Path,
        required=True,
        help="image (NIfTI, NRRD, MHA, MHD, MGZ), folder of a DICOM series, folder of them, or a "
        "pattern such as 'DATA/*/ct.nii.gz', in which * is the case",
    )
    made.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for the label files; what is finished there is kept"
    )
    made.add_argument(
        "--readers", nargs="+", default=[], metavar="MODULE.CLASS", help="readers of yours for further file formats"
    )
    made.add_argument("--device", default=None, help="cpu, cuda, cuda:1 ...; default: CUDA if there is one")
    made.add_argument("--on", help=f"predict on {HELP}; with a device cuda a task has a GPU")
    made.add_argument("--flip", action="store_true", help="average with the prediction of mirrored slices")
    made.add_argument(
        "--largest-component",
        nargs="*",
        metavar="ORGAN",
        help="keep only the largest connected part of these organs; `all`: of each; no name: of none; default: as "
        "chosen by the run on its validation cases (model.largest_component)",
    )
    made.add_argument(
        "--probabilities", action="store_true", help="write CASE_probabilities.nii.gz as well, (X, Y, Z, class)"
    )
    made.add_argument("--pictures", action="store_true", help="write CASE.png as well, to check labels by eye")
    made.add_argument("--overwrite", action="store_true", help="predict again what lies in OUT already")
    made.add_argument("--trust", action="store_true", help="run the code of a network that is no adawac's or MONAI's")
    return made
