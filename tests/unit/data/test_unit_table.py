"""The table of training units: what it is made of has to fit together."""

import numpy as np
import pytest

from adawac.data.units import UnitTable
from adawac.errors import DataError


def test_counts_that_do_not_fit_the_classes_are_refused():
    counts = np.ones((5, 3), np.int64)
    for cases, voxels, classes in (
        (["a", "b"], [counts], ("background", "x", "y")),
        (["a"], [counts], ("background", "x")),
        (["a"], [counts[:, 0]], ("background", "x", "y")),
    ):
        with pytest.raises(DataError, match=r"give one of each for every volume, counts of \(units, \d\)"):
            UnitTable.of_slices(cases, voxels, (8, 8), classes)
