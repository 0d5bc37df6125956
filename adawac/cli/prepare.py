"""`adawac prepare mine.yaml`: bring the volumes of a configuration into the store, as `fit` does by itself."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adawac.io.own_code import find_in_working_folder
from adawac.io.shipped import files_first
from adawac.io.terminal import Formatter
from adawac.processes.cluster import HELP, each_on, in_threads

if TYPE_CHECKING:
    from adawac.data.datamodule import SegmentationData
    from adawac.training.typed_parser import TypedParser

OTHERS = (
    "name", "runs", "seed_everything", "trainer", "model", "resume", "non_finite", "times", "pictures", "ckpt_path",
    "weights_only",
)  # fmt: skip
"""Keys of a configuration that say nothing of the data."""


def main(argv: Sequence[str]) -> int:
    """Parse the arguments and prepare.

    Args:
        argv: arguments after the command.

    Returns:
        Exit status 0.

    Raises:
        DataError: all problems of all cases together; cases without a problem are kept.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    find_in_working_folder()
    made = parser()
    parts = made.instantiate(made.parse_args(files_first(argv)))
    data: SegmentationData = parts.data
    with each_on(parts.on) as each:
        data.prepare_data(verify=parts.verify, each=each or in_threads)
    print(f"{data.describe_store()}; next: adawac fit with the same configuration")
    return 0


def parser() -> "TypedParser":
    """The command's options."""
    from jsonargparse import SUPPRESS

    from adawac.data.datamodule import SegmentationData
    from adawac.training.typed_parser import TypedParser

    made = TypedParser(prog="adawac prepare", description=__doc__)
    made.add_argument(
        "--config", action="config", help="of `adawac fit`, as a file that stands first is; several compose"
    )
    made.add_argument(
        "--verify",
        action="store_true",
        help="read all files anew, also those that look unchanged, and what is prepared",
    )
    made.add_argument("--on", type=str | None, help=HELP)
    for key in OTHERS:
        made.add_argument(f"--{key}", type=Any, help=SUPPRESS)
    made.add_class_arguments(SegmentationData, "data")
    return made
