import json
import os
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from jsonargparse import ArgumentParser

from adawac.data.subsets import (
    Full,
    HalfSlice,
    HalfSparse,
    HalfVolume,
    SparseMix,
    Subset,
    Trim,
    absent_classes,
    describe,
)
from adawac.data.units import UnitTable
from adawac.errors import ConfigError, DataError

# Slices of Synapse's 18 training volumes, by case number.
SYNAPSE = {5: 117, 6: 131, 7: 163, 9: 149, 10: 148, 21: 143, 23: 96, 24: 124, 26: 131}
SYNAPSE |= {27: 88, 28: 89, 30: 153, 31: 93, 33: 104, 34: 98, 37: 99, 39: 90, 40: 195}


def table_of(*volumes):
    """A table of volumes written with a letter a slice: s for sparse, L liver, S spleen, B both."""
    held = {"s": (9, 0, 0), "L": (8, 1, 0), "S": (8, 0, 1), "B": (7, 1, 1)}
    voxels = [np.array([held[letter] for letter in volume], dtype=np.int64) for volume in volumes]
    names = [f"case{i}" for i in range(len(volumes))]
    return UnitTable.of_slices(names, voxels, (3, 3), ("background", "liver", "spleen"))


def synapse():
    voxels = [np.array([[9, 1]] * depth, dtype=np.int64) for depth in SYNAPSE.values()]
    return UnitTable.of_slices([f"case{n:04d}" for n in SYNAPSE], voxels, (224, 224), ("background", "organ"))


@pytest.mark.parametrize(
    ("subset", "count"),
    [
        (Full(), 2211),
        (HalfSlice(), 1111),
        (HalfVolume([f"case{n:04d}" for n in (5, 7, 9, 10, 26, 27, 33, 34, 39)]), 1088),
        (HalfSparse(), 1118),
    ],
)
def test_counts_of_the_paper_on_synapse(subset, count):
    assert len(subset.select(synapse())) == count


@pytest.mark.parametrize(
    ("subset", "rows"),
    [
        (Full(), [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (HalfSlice(), [0, 2, 4, 5, 7]),
        (HalfSparse(), [0, 1, 2, 5, 6, 7]),
        (HalfVolume(), [0, 1, 2, 3, 4]),
        (HalfVolume(["case1"]), [5, 6, 7, 8]),
        (HalfVolume(["case1", "case0", "case1"]), [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (Trim(), [2, 3, 6, 7]),
    ],
)
def test_rows_of_two_volumes(subset, rows):
    selected = subset.select(table_of("ssLBs", "sLSs"))
    assert selected.tolist() == rows
    assert selected.dtype == np.int64


def test_half_volume_refuses_a_case_that_is_not_there():
    with pytest.raises(ConfigError, match="pt_9 is not a training case; choose among case0, case1"):
        HalfVolume(["case0", "pt_9"]).select(table_of("ssL", "sL"))
    with pytest.raises(ConfigError, match="cases is empty; name the volumes"):
        HalfVolume([])


def test_nothing_left_is_an_error():
    with pytest.raises(DataError, match=r"Trim keeps none of the 4 training slices .* choose another subset"):
        Trim().select(table_of("ssss"))
    with pytest.raises(DataError, match=r"SparseMix keeps none of the 2"):
        SparseMix().select(table_of("L", "s"))


class TestSparseMix:
    def test_is_spread_evenly_within_both_groups(self):
        table = table_of("s" * 12 + "L" * 12)
        rows = SparseMix(0.5).select(table)
        assert rows.tolist() == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
        assert SparseMix(0.25).select(table).tolist() == [0, 2, 3, 4, 6, 7, 8, 10, 11, 14, 18, 22]

    @pytest.mark.parametrize("p", [0.0, 0.1, 0.21, 0.5, 0.8])
    def test_the_share_holds_over_many_small_volumes(self, p):
        table = table_of(*["s" * 10 + "L" * 9] * 21)
        rows = SparseMix(p).select(table)
        assert len(rows) == 21 * (19 // 2)
        assert table.dense[rows].sum() == round(p * 21 * 9)
        assert np.bincount(table.case[rows]).tolist() == [9] * 21

    def test_later_volumes_make_up_for_what_one_lacks(self):
        table = table_of("s" * 8, "L" * 4 + "s" * 8, "L" * 4 + "s" * 8)
        rows = SparseMix(0.25).select(table)
        assert np.bincount(table.case[rows][table.dense[rows]]).tolist() == [0, 2, 2]
        table = table_of("L" * 8, "L" * 8 + "s" * 8, "L" * 8 + "s" * 8)
        rows = SparseMix(0.25).select(table)
        assert np.bincount(table.case[rows][table.dense[rows]], minlength=3).tolist() == [4, 0, 1]

    def test_says_so_where_the_volumes_cannot_give_the_share(self):
        table = table_of("L" * 2 + "s" * 8, "s" * 10)
        with pytest.warns(UserWarning, match=r"p is 0.5, but the volumes give 2 label-dense of 10 slices \(0.20\)"):
            rows = SparseMix(0.5).select(table)
        assert len(rows) == 10

    @pytest.mark.parametrize("p", [-0.1, 1.1, 21])
    def test_p_is_a_share(self, p):
        with pytest.raises(ConfigError, match=r"p must be a share from 0 to 1, not .*; 0.21 mimics"):
            SparseMix(p)


def test_classes_that_are_held_and_absent():
    table = table_of("ssLBL", "sL")
    assert describe(table, Full().select(table)) == [("liver", 4), ("spleen", 1)]
    assert describe(table, HalfSlice().select(table)) == [("liver", 2), ("spleen", 0)]
    assert absent_classes(table, HalfSlice().select(table)) == ("spleen",)
    assert absent_classes(table, Full().select(table)) == ()


def test_a_subset_is_chosen_by_its_class_name():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--subset", type=Subset)
    config = parser.parse_object({"subset": {"class_path": "SparseMix", "init_args": {"p": 0.3}}})
    subset = parser.instantiate(config).subset
    assert isinstance(subset, SparseMix)
    assert subset.p == 0.3


@pytest.mark.skipif("ADAWAC_DATA" not in os.environ, reason="ADAWAC_DATA is unset: the real data sets are not here")
def test_sparse_mix_on_openkbp_without_spinal_cord_and_esophagus():
    root = Path(os.environ["ADAWAC_DATA"]) / "openkbp-ct"
    names = json.loads((root / "dataset.json").read_text())["labels"]
    values = [v for v in sorted(map(int, names)) if names[str(v)] not in ("SpinalCord", "Esophagus")]
    cases = json.loads((root / "splits.json").read_text())["train"]
    voxels = []
    for case in cases:
        label = np.asarray(nib.load(root / "labelsTr" / f"{case}.nii.gz").dataobj)  # axes L, P, S
        voxels.append(np.stack([(label == value).sum(axis=(0, 1)) for value in values], axis=1))
    table = UnitTable.of_slices(cases, voxels, (128, 128), tuple(names[str(v)] for v in values))
    assert (len(table), int(table.dense.sum())) == (2939, 1280)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = SparseMix(0.21).select(table)
    assert len(rows) == 1466
    assert int(table.dense[rows].sum()) == 308  # 21 %
    assert absent_classes(table, rows) == ()
    share = np.bincount(table.case[rows][table.dense[rows]]) / np.bincount(table.case[rows])
    assert share.min() > 0.17
    assert share.max() < 0.25
