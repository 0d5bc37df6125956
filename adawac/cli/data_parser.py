"""The options of `adawac check` and `adawac init` that say what a data set is, where it is not to be recognised."""

from pathlib import Path

from adawac.data.case_names import AUTO
from adawac.data.layouts import Layout
from adawac.data.modality import Modality
from adawac.training.typed_parser import TypedParser  # so that a layout takes its settings as in `fit`


def data_parser(prog: str, description: str | None) -> TypedParser:
    """A parser that knows them, and the folder of the data."""
    made = TypedParser(prog=prog, description=description)
    # Not called `data`: jsonargparse would take `--data.layout`, which is of `fit`, for a part of it.
    made.add_argument("root", type=Path, metavar="DATA", help="folder of the data set")
    made.add_argument(
        "--patient_pattern", type=str | None, default=AUTO, help="as in fit; default: guessed from the case ids"
    )
    made.add_argument(
        "--modality", type=Modality | list[Modality] | None, help="as in fit; default: what the layout says"
    )
    made.add_argument("--ignore_label", type=int | None, help="as in fit: label value that is in no loss or metric")
    made.add_subclass_arguments(Layout, "layout", required=False, help="class; default: recognised")
    made.add_argument(
        "--readers", nargs="+", default=[], help="class paths of readers of yours, as data.readers of fit"
    )
    return made
