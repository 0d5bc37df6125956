"""`adawac phantom`: write a data set of synthetic abdominal CTs."""

import argparse
from pathlib import Path

from adawac.io.atomic import naming
from adawac.training.suggestions import Parser


def main(argv: list[str]) -> int:
    """Parse the command line and generate the data set.

    Args:
        argv: arguments after `adawac phantom`.

    Returns:
        Exit status 0.

    Raises:
        ConfigError: where a value or the folder breaks a rule.
    """
    args = parser().parse_args(argv)

    from adawac.phantom import generate

    spacing = tuple(args.spacing) if "spacing" in args else None
    with naming(args.out):
        out = generate(args.out, args.patients, tuple(args.size), spacing, args.seed)
    print(f"{args.patients} CTs in {out}; next: adawac init {out}")
    return 0


def parser() -> Parser:
    """The command's options."""
    made = Parser(
        prog="adawac phantom",
        description="Write synthetic abdominal CTs with eight labelled organs, as NIfTI in the MSD layout.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("out", type=Path, metavar="OUT", help="folder to write, new or empty")
    made.add_argument("--patients", type=int, default=16, metavar="N", help="number of CTs")
    made.add_argument(
        "--size",
        type=int,
        nargs=3,
        default=(48, 128, 128),
        metavar=("Z", "Y", "X"),
        help="voxels along each axis",
    )
    made.add_argument(
        "--spacing",
        type=float,
        nargs=3,
        default=argparse.SUPPRESS,
        metavar=("Z", "Y", "X"),
        help="mm; by default each patient has its own",
    )
    made.add_argument("--seed", type=int, default=0, help="another seed, other patients")
    return made
