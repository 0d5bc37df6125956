"""Voxels that were not scanned, and have a value that tells so: told from tissue, be there one such value or two."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adawac.errors import percent

POSSIBLE_HU = (-10_000.0, 50_000.0)
"""No scanner writes Hounsfield units beyond: padding goes down to -8192, metal on the extended scale up to 30710."""

BELOW_AIR = -1500.0
"""HU that nothing is of: a few values below are padding, such as -2000 and -3024, and tell nothing of the others."""

MOST_BELOW_AIR = 0.1
"""Share of the voxels below, besides those of the two most frequent values: edges of padding that were interpolated."""

ABOVE_METAL = 31_000.0
"""HU above which a value that stands alone is padding, such as 32767."""

BRIGHT = 1500.0
"""HU that hardly any bone reaches: where many voxels have one value above, it is one of padding."""

MANY = 0.02
"""Share of the voxels that makes them many."""

CLIPPED = 0.005
"""Share of the voxels at either end that normalising takes no notice of."""

LEAST_PADDED = 0.001
"""Share of the voxels that a value above metal must have to be padding; a few are damaged."""

RAW_TISSUE = (850.0, 1250.0)
"""Where fat and soft tissue of CT lie whose offset of -1000 or -1024 was left out."""

WRAPPED = 49_152.0
"""What numbers below 0 lie above where they were stored in 16 bits without a sign; of other images hardly any
goes there and has nothing between a third of this and it."""

FEW = 24
"""Voxels along an axis that are looked at where a few tell enough."""


def lowest_tissue(values: NDArray[Any], low: float) -> float:
    """The least value that can be air or tissue: what lies below all air is padding and tells nothing.

    Args:
        values: of a channel.
        low: their least.

    Example:
        >>> [lowest_tissue(np.array(values), values[0]) for values in ([-1000, -50, 40], [-3024, -2000, 0, 1200])]
        [-1000, 0.0]
    """
    return low if low >= BELOW_AIR else float(values.min(where=values >= BELOW_AIR, initial=values.max()))


def is_padded_below(values: NDArray[Any]) -> bool:
    """Whether all that lies below air is of one value or two, but for a few voxels."""
    below = values[values < BELOW_AIR].clip(-40_000, None)
    counts = np.sort(np.bincount(np.rint(-below).astype(np.int32)))  # faster than to sort the voxels
    return bool(below.size - counts[-2:].sum() < MOST_BELOW_AIR * values.size)


def highest_tissue(values: NDArray[Any], high: float) -> float:
    """The largest value but that of padding: one of more than a few voxels, above all metal, with nothing near it.

    Example:
        >>> [highest_tissue(np.array(values), values[-1]) for values in ([-1000, 1500, 32767], [0, 20000, 32767])]
        [1500.0, 32767]
    """
    if high <= ABOVE_METAL:
        return high
    second = float(values.max(where=values < high, initial=values.min()))
    return second if second <= high / 2 and np.mean(values == high) > LEAST_PADDED else high


def few_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some thousand voxels (N,) of (Z, Y, X), evenly spread."""
    return values[tuple(slice(None, None, -(-size // FEW)) for size in values.shape)].reshape(-1)


def suspicion(few: NDArray[np.float32], low: float, high: float, kind: str) -> str:
    """What seems to be wrong with intensities that are read all the same; empty where nothing does.

    Args:
        few: some voxels, see `few_of`.
        low: the least of all.
        high: the largest of all.
        kind: what they are, see `Modality`.

    Example:
        >>> values = np.repeat(np.float32([-1024, 0, 300, 800]), 5)
        >>> suspicion(values, -1024, 800, "mr")
        '25 % of voxels are -1024, far from all others (0 to 800): if that is padding, write the least of \
these there, for intensities are normalised by all voxels'
        >>> suspicion(values, -1024, 800, "ct")
        ''
    """
    if kind == "ct":
        if high > BRIGHT and (share := float(np.mean(few == high))) > MANY:
            return f"{percent(share)} % of voxels are {high:.6g}, the highest: if that is padding, write -1024 there"
        others = few[few > low]
        raw = float(np.mean((few > RAW_TISSUE[0]) & (few < RAW_TISSUE[1])))
        if raw > 0.1 and not (others < -500).any():
            return (
                f"none is air, and {percent(raw)} % of voxels lie between 850 and 1250 HU, as soft tissue does where "
                "the offset of -1024 was left out: if so, rescale the image to HU"
            )
    if kind == "mr":
        if said := _said_of_wrapped(few, low, high):
            return said
        for value, others in ((low, few[few > low]), (high, few[few < high])):
            if not others.size or few.size - others.size <= CLIPPED * few.size:
                continue
            least, most = float(others.min()), float(others.max())
            if (value == low <= -100 and least >= 0) or (value == high >= 30_000 and most <= high / 2):
                return (
                    f"{percent(1 - others.size / few.size)} % of voxels are {value:.6g}, far from all others "
                    f"({least:.6g} to {most:.6g}): if that is padding, write the least of these there, for intensities "
                    "are normalised by all voxels"
                )
    return ""


def _said_of_wrapped(few: NDArray[np.float32], low: float, high: float) -> str:
    """What to say where numbers below 0 were stored as if there were none: in 16 bits, -3 becomes 65533."""
    top = few[few > WRAPPED]
    if low < 0 or not WRAPPED < high < 1 << 16 or not top.size or ((few > WRAPPED / 3) & (few <= WRAPPED)).any():
        return ""
    if len(np.unique(top)) < 2 or few.size - top.size < top.size / 99:  # padding; bright values alone
        return ""
    return (
        f"{percent(top.size / few.size)} % of voxels lie between {top.min():.6g} and {top.max():.6g} and none between "
        f"{few[few <= WRAPPED].max():.6g} and these, as numbers below 0 do that were stored without a sign: if they "
        "are, subtract 65536 there"
    )
