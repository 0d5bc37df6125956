"""Predictions that would fit their references turned round: as arrays do whose axes lost their order on the way."""

from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from adawac.errors import some_of, together
from adawac.evaluation.case_table import CaseRow
from adawac.evaluation.predictions import Predict
from adawac.evaluation.references import References, labelled

WAYS = ("head to foot", "front to back", "left to right")
"""Of the axes of a canonical volume."""

POOR = 0.5
"""Dice of all organs together, below which a prediction is looked at; turned it has to reach as much, and `MORE`."""

MORE = 0.25
"""How much higher Dice has to be of a prediction that is turned round."""

LOOKED_AT = 3
"""Cases."""


def turned(predict: Predict, references: References, rows: Sequence[CaseRow]) -> str | None:
    """How predictions of poor Dice would fit much better, in a line; None where they would not.

    Args:
        predict: gives the prediction of a case.
        references: of all cases.
        rows: case table of the predictions.
    """
    measured = [row for row in rows if (row.metric, row.group) == ("dice", "all") and not np.isnan(row.value)]
    dice = together((row.case, row.value) for row in measured)
    poor = [case for case, values in dice.items() if np.mean(values) < POOR][:LOOKED_AT]
    if not poor or len(poor) < min(len(dice), LOOKED_AT):
        return None
    found: list[tuple[str, float, float]] = []
    for case in poor:
        target = references.target(case)
        if (best := best_turn(predict(case, target), target.array[0])) is None or best[0] != (found or [best])[0][0]:
            return None
        found.append(best)
    said = [f"{after:.2f} for {before:.2f} of {case}" for case, (_, before, after) in zip(poor, found, strict=True)]
    return (
        f"predictions fit their references far better mirrored {found[0][0]} (Dice of all organs: {some_of(said)}); "
        "their arrays or their headers are turned: write each on its image's grid, as the image was read"
    )


def best_turn(preds: NDArray[np.integer], target: NDArray[np.integer]) -> tuple[str, float, float] | None:
    """The axes to mirror a prediction along, its Dice and that of the mirrored one; None where nothing is gained.

    Example:
        >>> target = np.zeros((2, 4, 6), np.uint8)
        >>> target[0, 1:3, :3] = 1
        >>> best_turn(target[:, :, ::-1], target), best_turn(target, target)
        (('left to right', 0.0, 1.0), None)
    """
    known = labelled(target)
    theirs = np.where(known, target, 0)
    sizes = np.count_nonzero(preds[known]) + np.count_nonzero(theirs)
    ways = [*chain.from_iterable(combinations(range(3), count) for count in range(4))]
    held = [np.count_nonzero((np.flip(preds, axes) == theirs) & (theirs > 0)) for axes in ways]
    dice = [float(2 * each / max(sizes, 1)) for each in held]
    best = int(np.argmax(dice))
    # Whatever the class: sides may have been given each other's numbers.
    whatever = 2 * np.count_nonzero((preds > 0) & (theirs > 0)) / max(sizes, 1)
    if whatever >= POOR or dice[best] < max(POOR, dice[0] + MORE):
        return None
    return " and ".join(WAYS[axis] for axis in ways[best]), dice[0], dice[best]
