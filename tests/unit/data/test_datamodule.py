"""From a folder in any layout to batches and volumes; what a user can get wrong is said before anything trains."""

import itertools
import json
import logging
from pathlib import Path

import h5py
import lightning.pytorch as pl
import nibabel as nib
import numpy as np
import pytest
import torch
from tiny_data import (
    CLASS_NAMES,
    write_acdc_volumes,
    write_msd,
    write_nnunet,
    write_synapse,
)

from adawac.data.datamodule import SegmentationData
from adawac.data.layouts import Folders
from adawac.data.splits import FileSplit, FractionSplit, LayoutSplit
from adawac.data.subsets import HalfSparse, HalfVolume, Trim
from adawac.errors import ConfigError, DataError
from adawac.types import IGNORE_INDEX

HALVES = {"train": ["pt_1", "pt_2"], "val": ["pt_3"], "test": ["pt_4"]}


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


@pytest.fixture(scope="module")
def msd(tmp_path_factory):
    """Four cases of six classes, with a split beside them."""
    root = write_msd(tmp_path_factory.mktemp("msd"), cases=4, num_classes=6)
    (root / "splits.json").write_text(json.dumps(HALVES))
    return root


@pytest.fixture
def module(msd, store):
    """A data module of `msd` with the settings given, set up for a stage."""

    def make(stage="fit", **settings):
        return set_up(SegmentationData(str(msd), store=store, **{"size": (8, 8)} | settings), stage)

    return make


def set_up(data, stage="fit"):
    data.prepare_data()
    data.setup(stage)
    return data


def first(loader):
    return next(iter(loader))


class TestFacts:
    def test_what_the_task_must_know(self, module):
        data = module(
            window=(-60.0, 140.0), axis="coronal", size=(12, 8), body=True, mirror_pairs={"left_kidney": "right_kidney"}
        )
        facts = data.facts
        assert facts.in_channels == 1
        assert facts.classes.names == CLASS_NAMES[:6]
        assert facts.mirror_table == (0, 2, 1, 3, 4, 5)
        recipe = facts.preprocessing
        assert (recipe.modality, recipe.window, recipe.axis) == ("ct", (-60.0, 140.0), "coronal")
        assert (recipe.grid.size, recipe.grid.body, recipe.grid.spacing) == ((12, 8), True, None)
        assert data.units.classes == facts.classes.names

    def test_without_pairs_there_is_no_mirror_table(self, module):
        assert module().facts.mirror_table is None

    def test_the_user_s_modality_wins(self, module):
        assert module(modality="mr").facts.preprocessing.modality == "mr"

    @pytest.mark.parametrize("ask", ["facts", "split", "units"])
    def test_before_it_is_set_up_it_says_so(self, msd, ask):
        with pytest.raises(ConfigError, match=r"setup\('fit'\)"):
            getattr(SegmentationData(str(msd)), ask)

    def test_units_are_known_to_fit_only(self, module):
        data = module("test")
        with pytest.raises(ConfigError, match=r"after setup\('fit'\); call it first"):
            data.train_dataloader()

    def test_setup_without_preparation_names_the_remedy(self, msd, store):
        data = SegmentationData(str(msd), store=store)
        with pytest.raises(DataError, match=r"case pt_1: .*; prepare the data first"):
            data.setup("fit")

    def test_lightning_hands_volumes_over_as_they_are(self, module):
        class Task(pl.LightningModule):
            def validation_step(self, item, batch_idx):
                self.seen = item

        task = Task()
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
        trainer.validate(task, module("validate"), verbose=False)
        assert isinstance(task.seen.target, np.ndarray)
        assert isinstance(task.seen.spacing, tuple)
        assert task.seen.case == "pt_3"

    def test_seed_and_workers(self, module):
        one, other, again = (module(seed=seed, num_workers=workers) for seed, workers in ((0, 0), (1, 0), (0, 2)))
        orders = [[b.index.tolist() for b in data.train_dataloader()] for data in (one, other, again)]
        assert orders[0] == orders[2] != orders[1]


class TestClasses:
    def test_dropped_and_merged_by_name(self, module):
        whole = module().units
        data = module(drop=["liver", "stomach"], merge={"kidneys": ["left_kidney", "right_kidney"]})
        assert data.facts.classes.names == ("background", "kidneys", "spleen")
        voxels = whole.voxels
        np.testing.assert_array_equal(data.units.voxels[:, 0], voxels[:, [0, 3, 5]].sum(1))
        np.testing.assert_array_equal(data.units.voxels[:, 1], voxels[:, [1, 2]].sum(1))
        np.testing.assert_array_equal(data.units.voxels[:, 2], voxels[:, 4])
        assert set(np.unique(first(data.val_dataloader()).target)) == {0, 1, 2}

    def test_slices_of_dropped_classes_alone_are_label_sparse(self, tmp_path, store):
        root = write_msd(tmp_path, cases=4, num_classes=2, names=("background", "liver"))
        dataset = json.loads((root / "dataset.json").read_text())
        dataset["labels"]["2"] = "spleen"
        (root / "dataset.json").write_text(json.dumps(dataset))
        for path in (root / "labelsTr").iterdir():  # in slice 2 the spleen takes the liver's place
            edit(path, lambda label: np.where(np.arange(6) == 2, 2 * label, label))
        data = set_up(SegmentationData(str(root), drop=["liver"], size=(8, 8), store=store))
        assert data.units.dense.reshape(-1, 6).tolist() == [[False, False, True, False, False, False]] * 2
        for batch in data.train_dataloader():
            np.testing.assert_array_equal(batch.dense, data.units.dense[batch.index])

    @pytest.mark.parametrize(
        ("settings", "remedy"),
        [
            ({"drop": ["Liver"]}, r"drop: \['Liver'\] are no classes .*choose from \['left_kidney', .*'stomach'\]"),
            (
                {"merge": {"gut": ["stomach", "colon"]}},
                r"merge: \['colon'\] .*; choose from \['left_kidney', .*'stomach'\]",
            ),
            (
                {"mirror_pairs": {"left_kidney": "RightKidney"}},
                r"'RightKidney' is no class.*; did you mean right_kidney\? name two of \['left_kidney', .*'stomach'\]",
            ),
            (
                {"drop": ["left_kidney"], "mirror_pairs": {"left_kidney": "right_kidney"}},
                r"'left_kidney' is no class.* name two of \['right_kidney', .* or leave the pair out",
            ),
        ],
    )
    def test_unknown_names_are_refused_with_those_known(self, module, settings, remedy):
        with pytest.raises(ConfigError, match=remedy):
            module(**settings)

    @pytest.mark.parametrize("named", [True, False], ids=["by-the-layout", "by-the-user"])
    def test_ignored_voxels_reach_losses_and_metrics_as_such(self, tmp_path, store, named):
        root = write_nnunet(tmp_path, cases=4)
        if named:
            dataset = json.loads((root / "dataset.json").read_text())
            dataset["labels"]["ignore"] = 3
            (root / "dataset.json").write_text(json.dumps(dataset))
        for path in (root / "labelsTr").iterdir():
            edit(path, lambda label: np.where(np.arange(6) == 0, 3, label))  # the lowest slice
        settings = {} if named else {"ignore_label": 3}
        data = set_up(SegmentationData(str(root), size=(8, 8), store=store, **settings))
        assert data.facts.classes.names == CLASS_NAMES[:3]
        assert (first(data.val_dataloader()).target[0] == IGNORE_INDEX).all()
        assert not data.units.voxels[data.units.start[:, 0] == 0].any()
        assert not data.units.dense[data.units.start[:, 0] == 0].any()
        for batch in data.train_dataloader():
            lowest = torch.from_numpy(data.units.start[batch.index, 0] == 0)
            assert (batch.label[lowest] == IGNORE_INDEX).all()
            assert (batch.label[~lowest] < 3).all()

    def test_a_value_that_is_neither_class_nor_ignored(self, tmp_path, store):
        root = write_nnunet(tmp_path, cases=4)
        for number in (2, 4):
            edit(root / f"labelsTr/pt_{number}.nii.gz", lambda label: np.where(np.arange(6) == 0, 3, label))
        data = SegmentationData(str(root), size=(8, 8), store=store)
        with pytest.raises(DataError, match=r"2 problems:\n  case pt_2: .*\[3\].*name them.*\n  case pt_4: .*\[3\]"):
            data.prepare_data()


def edit(path: Path, change) -> None:
    """Write a NIfTI file again, its voxels (x, y, z) changed."""
    file = nib.load(path)
    array = np.asarray(file.dataobj)
    nib.save(nib.Nifti1Image(change(array).astype(array.dtype), file.affine), path)


class TestSplits:
    def test_the_file_beside_the_data_says_who_trains(self, module):
        data = module()
        assert (data.split.train, data.split.val, data.split.test) == (("pt_1", "pt_2"), ("pt_3",), ("pt_4",))
        assert data.units.cases == ("pt_1", "pt_2")

    def test_cases_of_no_part_are_not_read(self, tmp_path, store):
        root = write_msd(tmp_path / "data", cases=5)
        (root / "splits.json").write_text(json.dumps(HALVES))
        (root / "imagesTr/pt_5.nii.gz").write_text("broken")
        with pytest.warns(UserWarning, match="puts pt_5 into no part: left out"):
            set_up(SegmentationData(str(root), size=(8, 8), store=store))

    @pytest.mark.parametrize("kind", ["regex", "csv"])
    def test_patients_stay_together(self, tmp_path, store, kind):
        root = write_acdc_volumes(tmp_path / "data", cases=8)
        pattern = r"(patient\d+)_"
        if kind == "csv":
            cases = [path.stem for path in (root / "ACDC_training_volumes").iterdir()]
            pattern = str(tmp_path / "patients.csv")
            Path(pattern).write_text("case,patient\n" + "".join(f"{case},{case[:10]}\n" for case in cases))
        settings = {
            "patient_pattern": pattern,
            "split": FractionSplit(val=0.25, test=0.25),
            "size": (8, 8),
            "store": store,
        }
        data = set_up(SegmentationData(str(root), **settings))
        parts = [{case[:10] for case in part} for part in (data.split.train, data.split.val, data.split.test)]
        assert [len(part) for part in parts] == [2, 1, 1]
        assert not any(one & other for one, other in itertools.combinations(parts, 2))
        assert first(data.val_dataloader()).patient in parts[1]

    @pytest.mark.parametrize("kind", ["file", "layout"])
    def test_a_patient_in_two_parts_is_refused(self, tmp_path, store, kind):
        if kind == "file":
            root = write_acdc_volumes(tmp_path / "data", cases=4)
            frames = [f"patient{p:03d}_frame{f:02d}" for p, f in ((1, 1), (1, 10), (2, 1), (2, 10))]
            (root / "mine.json").write_text(json.dumps({"train": frames[:3], "val": frames[3:]}))
            split, pattern, leak = FileSplit("mine.json"), r"(patient\d+)_", "patient002"
        else:
            root = write_synapse(tmp_path / "data", cases=2, test_cases=1)
            (tmp_path / "patients.csv").write_text("case,patient\ncase0001,a\ncase0002,b\ncase0003,a\n")
            split, pattern, leak = LayoutSplit(), str(tmp_path / "patients.csv"), "a"
        data = SegmentationData(str(root), split=split, patient_pattern=pattern, store=store)
        with pytest.raises(DataError, match=rf"patient {leak} lies in more than one part .*; move all its cases"):
            data.prepare_data()
        assert not Path(store).exists()  # nothing was read

    @pytest.mark.parametrize(
        ("pattern", "error", "remedy"),
        [
            (r"(patient\d+)_", DataError, "finds no patient in pt_1, .*; write one that fits every case"),
            ("patients(.csv", ConfigError, "cannot be read .*; give the path of a CSV file"),
            ("(pt", ConfigError, "is not a regular expression .*; write one such as"),
        ],
    )
    def test_a_pattern_that_does_not_fit(self, module, pattern, error, remedy):
        with pytest.raises(error, match=remedy):
            module(patient_pattern=pattern)

    def test_without_validation_cases_there_is_nothing_to_validate(self, tmp_path, store):
        root = write_synapse(tmp_path / "data", cases=2)
        data = set_up(SegmentationData(str(root), split=LayoutSplit(), size=(8, 8), store=store))
        assert data.split.val == ()
        assert data.val_dataloader() == []

    def test_without_test_cases_testing_is_refused(self, module):
        data = module("test", split=FractionSplit(val=0.25, test=0))
        with pytest.raises(DataError, match="the split names no test cases; add some, or use `adawac validate RUN`"):
            data.test_dataloader()


def test_a_batch_that_holds_every_training_slice_is_said_with_the_remedy(module, caplog):
    module(batch_size=12)  # as many as there are
    assert "single step" not in caplog.text
    module(batch_size=13)
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage() == (
        "data.batch_size is 13, but training has 12 slices: an epoch is a single step; lower it to a tenth"
    )


class TestSubsets:
    def test_a_subset_thins_training_only(self, module):
        data = module(subset=Trim())
        assert len(data.units) == 8  # the end slices of two cases of six are empty
        assert data.units.dense.all()
        assert len(list(data.train_dataloader())) == 1
        assert first(data.val_dataloader()).image.shape[1] == 6

    def test_what_is_kept_is_said(self, module, caplog):
        caplog.set_level(logging.INFO, logger="adawac")
        module(subset=HalfVolume())
        assert "HalfVolume: 6 of 12 training slices, 4 label-dense (67 %)" in caplog.text
        assert "left_kidney 4, right_kidney 4, liver 4, spleen 4, stomach 4" in caplog.text
        assert "no training slice" not in caplog.text

    def test_a_lost_class_is_named(self, tmp_path, store, caplog):
        root = write_msd(tmp_path, cases=4, num_classes=4, shape=(8, 16, 16))
        for path in (root / "labelsTr").iterdir():  # the liver lies in the upper half alone
            edit(path, lambda label: np.where((label == 3) & (np.arange(8) < 5), 0, label))
        set_up(SegmentationData(str(root), subset=HalfSparse(), size=(8, 8), batch_size=5, store=store))
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert record.getMessage() == "no training slice holds liver; left out of the means"

    def test_a_subset_that_keeps_nothing(self, tmp_path, store):
        root = write_acdc_volumes(tmp_path / "data", cases=4)
        for path in (root / "ACDC_training_volumes").iterdir():
            with h5py.File(path, "a") as file:
                file["label"][:] = 0
        with pytest.raises(DataError, match=r"Trim keeps none of the \d+ training slices .*check the labels"):
            set_up(SegmentationData(str(root), patient_pattern=None, subset=Trim(), size=(8, 8), store=store))


class TestRefusals:
    @pytest.mark.parametrize("layout", [None, Folders()], ids=["searched", "given"])
    def test_an_empty_folder(self, tmp_path, store, layout):
        (tmp_path / "data").mkdir()
        remedy = "the data folder is empty; put a data set there" if layout is None else "correct `images` or `labels`"
        with pytest.raises(DataError, match=remedy):
            SegmentationData(str(tmp_path / "data"), layout=layout, store=store).prepare_data()

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(DataError, match="nowhere: the data folder does not exist; correct the path"):
            SegmentationData(str(tmp_path / "nowhere")).prepare_data()

    @pytest.mark.parametrize(
        ("settings", "remedy"),
        [
            ({"batch_size": 0}, "data.batch_size is 0; it must be at least 1"),
            ({"size": (0, 8)}, "data.size is .* at least 1 pixel"),
            ({"window": (3.0, 1.0)}, "give the lower HU first"),
            ({"ignore_label": 0}, "0 is the background and cannot be ignored; give the value of unlabelled voxels"),
        ],
    )
    def test_settings_that_mean_nothing(self, module, settings, remedy):
        with pytest.raises(ConfigError, match=remedy):
            module(**settings)
