"""How far two predictions agree with labels and with each other."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    import agreement


def test_by_hand(tmp_path):
    """Masks of a row of ten voxels: Dice is twice the voxels of both over the sum of theirs."""
    lengths = {"labels": (4, 4, 4), "first": (4, 2, 6), "second": (2, 2, 4)}
    for name, patients in lengths.items():
        (tmp_path / name).mkdir()
        for patient, length in enumerate(patients):
            row = np.zeros((10, 1, 1), np.uint8)
            row[:length] = 1
            nib.save(nib.Nifti1Image(row, np.eye(4)), tmp_path / name / f"pt_{patient}.nii.gz")
    found = agreement.compared(*(tmp_path / name for name in lengths), [1])
    first, second, each_other = (1, 4 / 6, 8 / 10), (4 / 6, 4 / 6, 1), (4 / 6, 1, 8 / 10)
    assert found == pytest.approx(
        {
            "patients": 3,
            "first": np.mean(first),
            "second": np.mean(second),
            "each_other": np.mean(each_other),
            "better_of_both": np.mean((1, 4 / 6, 1)),
            "correlation": np.corrcoef(first, second)[0, 1],
        }
    )
