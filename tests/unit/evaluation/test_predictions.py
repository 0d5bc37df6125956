"""What is told of predictions before anybody reads their Dice."""

import pytest

from adawac.evaluation.case_table import CaseRow
from adawac.evaluation.predictions import disjoint


def rows(predicted, reference, dice):
    """Two classes in three cases."""
    values = {"predicted_voxels": predicted, "reference_voxels": reference, "dice": dice}
    return [
        CaseRow("0", "m", case, case, organ, "all", metric, value, "skip")
        for case in "abc"
        for organ in ("liver", "spleen")
        for metric, value in values.items()
    ]


@pytest.mark.parametrize(
    ("predicted", "reference", "dice", "told"),
    [
        (1, 1, 0.0, True),  # of a voxel as of many
        (50, 60, 0.0, True),
        (50, 60, 0.5, False),
        (0, 60, 0.0, False),  # missed, which is no other place
        (60, 0, 0.0, False),
    ],
)
def test_classes_that_lie_elsewhere_in_most_cases_are_named(predicted, reference, dice, told):
    said = disjoint(rows(predicted, reference, dice))
    assert (said is not None) == told
    assert not told or said.startswith("liver, spleen lie in most cases elsewhere")
