"""Images and slices that nobody annotated, from the folder to the batch."""

import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from tiny_data import write_msd

from adawac.data.datamodule import SegmentationData
from adawac.data.residency import ResidentUnits
from adawac.data.sampling import AdaptiveSampling, ForegroundOversampling, WithUnlabelled
from adawac.data.splits import FractionSplit
from adawac.data.subsets import Annotated
from adawac.data.units import UnitTable
from adawac.errors import ConfigError, DataError
from adawac.types import IGNORE_INDEX


def make_data(root, **options):
    data = SegmentationData(
        str(root / "data"),
        split=FractionSplit(val=0.2, test=0.2),
        patient_pattern=None,
        size=(16, 16),
        batch_size=8,
        store=str(root / "store"),
        **options,
    )
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Five annotated volumes; a folder with two other images and a copy of each of the five."""
    folder = tmp_path_factory.mktemp("unlabelled")
    write_msd(folder / "data", cases=5, shape=(8, 16, 16))
    rest = folder / "rest"
    rest.mkdir()
    rng = np.random.default_rng(1)
    for path in sorted((folder / "data/imagesTr").glob("*.nii.gz")):
        shutil.copy(path, rest / f"copy_{path.name}")
    for name in ("x", "y"):
        voxels = rng.normal(0, 300, (16, 16, 12)).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, nib.load(path).affine), rest / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def data(root):
    return make_data(root, unlabelled=str(root / "rest"))


def test_images_of_labelled_cases_are_left_out_whatever_they_are_called(data):
    assert data.units.cases[-2:] == ("unlabelled/x", "unlabelled/y")
    assert len(data.units.cases) == len(data.split.train) + 2
    assert data.units.labelled.sum() == 8 * len(data.split.train)
    assert (~data.units.labelled).sum() == 2 * 12


def test_an_epoch_is_as_long_as_without_them_and_a_quarter_of_each_batch_is_theirs(root, data):
    without = make_data(root)
    loader = data.train_dataloader()
    assert len(loader) == len(without.train_dataloader())
    for batch in loader:
        unlabelled = (batch.label == IGNORE_INDEX).flatten(1).all(1)
        assert unlabelled.sum() == 2
        assert unlabelled.tolist() == (~data.units.labelled[batch.index]).tolist()
        assert not batch.dense[unlabelled].any()


def test_the_images_are_those_of_the_files(root, data):
    row = int(np.flatnonzero(data.units.case == len(data.units.cases) - 2)[5])
    batch = data.train_dataloader().dataset[[row]]
    voxels = np.asarray(nib.load(root / "rest/x.nii.gz").dataobj)
    low, high = data.window
    expected = (np.clip(voxels, low, high) - low) / (high - low)
    found = {round(float(value), 3) for value in batch.image.flatten()}
    number = int(data.units.start[row][0])
    slices = [{round(float(np.float16(v)), 3) for v in expected[..., z].flatten()} for z in (number, 11 - number)]
    assert found in slices  # slices count from the feet, files may from the head


def test_a_run_is_resumed_on_the_same_images_alone(data):
    described = data.describe()
    assert {"unlabelled/x", "unlabelled/y"} <= described["train"].keys()
    assert len(described["slices"]["unlabelled/x"]) == 12
    assert not {"unlabelled/x", "unlabelled/y"} & described["val"].keys()


def test_a_folder_that_is_none_and_one_without_images_are_said(root, tmp_path):
    with pytest.raises(DataError, match=r"data\.unlabelled: there is no folder .*nowhere"):
        make_data(root, unlabelled=str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no image there"):
        make_data(root, unlabelled=str(tmp_path))


def test_an_image_that_breaks_a_rule_is_named(root, tmp_path):
    (tmp_path / "bad").mkdir()
    nib.save(nib.Nifti1Image(np.full((16, 16, 8), 7, np.int16), np.eye(4)), tmp_path / "bad/z.nii.gz")
    with pytest.raises(DataError, match="case unlabelled/z: every voxel"):
        make_data(root, unlabelled=str(tmp_path / "bad"))


@pytest.mark.parametrize(
    ("options", "shown"), [({"volumes": 1}, 8), ({"every": 4}, 6), ({"volumes": 2, "every": 8}, 2)]
)
def test_annotated_hides_labels_wherever_the_slices_lie(root, options, shown):
    data = make_data(root, subset=Annotated(**options))
    assert data.units.labelled.sum() == shown
    on_disk = data.train_dataloader().dataset
    resident = ResidentUnits(on_disk.cases, data.units, torch.device("cpu"))
    rows = list(range(len(data.units)))
    for batch in (on_disk[rows], resident[rows]):
        hidden = (batch.label == IGNORE_INDEX).flatten(1).all(1)
        assert hidden.tolist() == (~data.units.labelled).tolist()
    only = make_data(root, subset=Annotated(**options, unlabelled=False))
    assert only.units.keys() == data.units.take(np.flatnonzero(data.units.labelled)).keys()


def test_annotated_takes_no_more_volumes_than_there_are(root):
    with pytest.raises(ConfigError, match="volumes is 9, but 3 train"):
        make_data(root, subset=Annotated(volumes=9))
    with pytest.raises(ConfigError, match="at least 1"):
        Annotated(every=0)


def table(labelled, unlabelled):
    voxels = [np.array([[9, 0], [7, 2]] * (labelled // 2) + [[0, 0]] * unlabelled)]
    return UnitTable.of_slices(["a"], voxels, (3, 3), ("background", "liver"))


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "share", "expected"),
    [(20, 20, 0.25, 2), (20, 1, 0.5, 1), (4, 20, 0.0, 4), (20, 0, 0.5, 0), (20, 20, 1.0, 8), (0, 20, 0.5, 8)],
)
def test_where_there_are_too_few_of_one_kind_the_other_fills_the_batch(labelled, unlabelled, share, expected):
    units = table(labelled, unlabelled)
    rows = WithUnlabelled(share).draw(units, np.zeros(len(units)), 8, np.random.default_rng(0))
    assert len(set(rows.tolist())) == 8
    assert (~units.labelled[rows]).sum() == expected


def test_the_labelled_part_is_drawn_by_its_own_rule():
    units, rng = table(40, 40), np.random.default_rng(0)
    sampling = WithUnlabelled(0.5, ForegroundOversampling(1.0))
    rows = np.concatenate([sampling.draw(units, np.zeros(80), 8, rng).reshape(2, 4)[0] for _ in range(50)])
    assert units.dense[rows].all()
    drawn = np.concatenate([sampling.draw(units, np.zeros(80), 8, rng)[4:] for _ in range(500)])
    counts = np.bincount(drawn, minlength=80)[40:]
    assert counts.sum() == 2000
    assert np.abs(counts - 50).max() < 5 * np.sqrt(50)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="share is 2"):
        WithUnlabelled(2)
    with pytest.raises(ConfigError, match="AdaptiveSampling cannot draw"):
        WithUnlabelled(labelled=AdaptiveSampling())
