"""What training and prediction must know of the data."""

from dataclasses import dataclass

from adawac.data.classes import Classes
from adawac.data.preprocessing import Preprocessing
from adawac.data.unit_kinds import SINGLE_SLICE, UnitKind


@dataclass(frozen=True)
class DataFacts:
    """What a task must know of its data, beyond the batches, and a prediction with it.

    Attributes:
        in_channels: channels of an image.
        classes: names of the classes and what they are on disk.
        mirror_table: for each class its mirror image, itself where it has no side; None if no pairs are named.
        preprocessing: what prediction must repeat.
        places: where images lie, see `adawac.data.layouts.base.Collection`; predictions look there, too.
        unit: what a sample is, and a network is shown at a time: a slice, with or without neighbours, or a patch.
    """

    in_channels: int
    classes: Classes
    mirror_table: tuple[int, ...] | None
    preprocessing: Preprocessing
    unit: UnitKind = SINGLE_SLICE
    places: tuple[str, ...] = ()
