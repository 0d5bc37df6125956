"""Prepared cases: made once, and made anew only where something changed."""

import hashlib
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from store_cases import SHAPE, folder, prepare, prepared, root, store_of, traces
from tiny_data import make_case, save_nifti, write_acdc_volumes, write_msd

from adawac.data.datasets import VolumeDataset
from adawac.data.grid import Grid, Placement
from adawac.data.preprocessing import Preprocessing
from adawac.data.store import count_voxels
from adawac.errors import DataError
from adawac.evaluation import case_rows

__all__ = ["folder", "root"]  # fixtures


def test_the_hash_of_a_case_is_that_of_its_content_wherever_it_lies(root, folder, tmp_path):
    hashes = {id_: case.data_hash for id_, case in prepared(root, folder).items()}
    assert len(set(hashes.values())) == 3
    moved = root.rename(tmp_path / "moved")
    assert {id_: case.data_hash for id_, case in prepared(moved, folder).items()} == hashes
    write_msd(moved, cases=1, shape=SHAPE, seed=1)
    changed = prepared(moved, folder)
    assert [id_ for id_ in changed if changed[id_].data_hash != hashes[id_]] == ["pt_1"]


def made_since(before, folder):
    """Cases that were prepared since, whose older folders must not have been touched."""
    after = traces(folder)
    old = {
        path: trace
        for path, trace in before.items()
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }
    assert {path: after[path] for path in old} == old
    return sorted(path.parent.parent.name for path in after.keys() - before.keys() if path.name == "case.json")


class TestRoundTrip:
    def test_what_is_opened_is_what_the_files_hold(self, root, folder):
        rng = np.random.default_rng(0)
        recipe = Preprocessing("ct", grid=Grid((8, 8)))
        for case in prepared(root, folder).values():
            image, label = make_case(rng, SHAPE)
            grid = recipe.grid.place(image, None, case.id)
            expected = recipe.intensities(image.astype(np.float32)).reshape(1, 6, 8, 2, 20).mean(3)
            assert case.image.shape == (1, 6, 8, 8)
            assert abs(case.image.mean() - expected.mean()) < 0.01
            np.testing.assert_array_equal(case.label, grid.label_to_grid(label))
            np.testing.assert_array_equal(case.native_label, label)
            assert case.placement == Placement((16, 20), (8, 8), (0.0, 16.0, 0.0, 20.0))
            assert case.spacing == (3.0, 0.9, 0.8)
            counts = [[(plane == k).sum() for k in range(3)] for plane in label]
            np.testing.assert_array_equal(case.voxels, counts)

    def test_arrays_stay_on_disk_and_cannot_be_written(self, root, folder):
        case = prepared(root, folder)["pt_1"]
        for array, dtype in ((case.image, np.float16), (case.label, np.uint8), (case.native_label, np.uint8)):
            assert isinstance(array, np.memmap)
            assert array.dtype == dtype
            assert not array.flags.writeable
        assert case.voxels.dtype == np.int64

    def test_half_precision_is_near_enough(self, root, folder):
        store, cases = store_of(root, folder)
        store.prepare(cases)
        exact = store.preprocessing.apply(store.layout.read_image(cases[0]), "pt_1").image
        np.testing.assert_allclose(store.open([cases[0]])[0].image, exact, atol=5e-4)

    def test_another_axis_cuts_image_label_and_spacing(self, root, folder):
        axial, sagittal = prepared(root, folder)["pt_1"], prepared(root, folder, axis="sagittal")["pt_1"]
        assert sagittal.image.shape == (1, 20, 8, 8)
        np.testing.assert_array_equal(np.moveaxis(axial.native_label, 2, 0), sagittal.native_label)
        assert sagittal.spacing == (0.8, 3.0, 0.9)
        np.testing.assert_array_equal(sagittal.voxels.sum(0), axial.voxels.sum(0))

    @pytest.mark.parametrize(("axis", "order"), [("axial", (0, 1, 2)), ("sagittal", (2, 0, 1))])
    def test_a_tilted_gantry_is_known_wherever_the_volume_is_cut(self, root, folder, axis, order):
        for path in [*root.glob("imagesTr/*"), *root.glob("labelsTr/*")]:
            image = nib.load(path)
            affine = image.affine.copy()
            affine[1, 2] = 1.1
            nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
        case = prepared(root, folder, axis=axis)["pt_1"]
        columns = np.array([[0, 1.1, 3.0], [0, -0.9, 0], [-0.8, 0, 0]])  # of slices, rows and columns, which go L, P, S
        np.testing.assert_allclose(case.steps.T @ case.steps, (columns @ columns.T)[np.ix_(order, order)], atol=1e-5)
        assert case.spacing == tuple(np.linalg.norm(columns, axis=1)[list(order)].round(6))
        item = VolumeDataset([case], {"pt_1": "p"})[0]
        rows = case_rows("pt_1", "p", item.target, item.target, item.steps, ["background", "one", "two"])
        assert [row.value for row in rows if row.metric == "voxel_mm3"] == pytest.approx([0.8 * 0.9 * 3.0])

    def test_layouts_without_spacing(self, tmp_path, folder):
        case = prepared(write_acdc_volumes(tmp_path / "acdc"), folder, size=(16, 16))["patient001_frame01"]
        assert case.spacing is None
        with h5py.File(tmp_path / "acdc/ACDC_training_volumes/patient001_frame01.h5") as file:
            np.testing.assert_allclose(case.image[0], file["image"], atol=5e-4)

    def test_ignored_voxels_are_kept_and_not_counted(self):
        label = np.array([[[0, 1], [1, 255]], [[255, 255], [0, 2]]], np.uint8)
        counts = count_voxels(label, 3)
        assert counts.tolist() == [[1, 2, 0], [1, 0, 1]]
        assert counts.base is None  # `check` keeps them of every case, and would keep what they are cut from

    @pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
    def test_a_label_lies_in_the_store_where_its_image_does_and_where_it_lay(self, root, folder, axis):
        """A ball as bright as it is labelled, through the files, at half the size: by scipy's centres of mass."""
        distance = [(np.arange(size) + 0.5 - centre) ** 2 for size, centre in ((48, 23.3), (64, 30.7), (64, 33.2))]
        organ = (np.add.outer(np.add.outer(*distance[:2]), distance[2]) < 15.4**2).astype(np.uint8)  # (Z, Y, X)
        save_nifti(root / "imagesTr/pt_1.nii.gz", organ * 200.0 - 100.0)
        save_nifti(root / "labelsTr/pt_1.nii.gz", organ)
        store, cases = store_of(root, folder, (32, 32) if axis == "axial" else (24, 32), axis=axis)
        (case,) = (case for case in cases if case.id == "pt_1")
        prepare(store, [case])
        (found,) = store.open([case])
        image = found.image[0].astype(float) - found.image.min()
        native, label, bright = (
            np.array(ndimage.center_of_mass(each)) + 0.5 for each in (found.native_label > 0, found.label > 0, image)
        )
        np.testing.assert_allclose(bright * (1, 2, 2), native, atol=0.01)
        np.testing.assert_allclose(label * (1, 2, 2), native, atol=0.1)  # half a pixel is 1

    def test_the_user_s_cache_is_the_default(self, root, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        prepared(root, None)
        assert len(list((tmp_path / "cache/adawac").glob("pt_*/*/case.json"))) == 3
        monkeypatch.setenv("XDG_CACHE_HOME", "")  # as if it were not set, says its specification
        assert store_of(root, None)[0].folder == Path("~/.cache/adawac").expanduser()


class TestMadeOnce:
    def test_a_second_preparation_touches_nothing(self, root, folder):
        prepared(root, folder)
        before = traces(folder)
        prepared(root, folder)
        assert traces(folder) == before

    def test_progress_counts_what_is_missing(self, root, folder):
        store, cases = store_of(root, folder)
        totals = []

        def track(done, total):
            totals.append(total)
            return done

        store.prepare(cases[:1], track)
        store.prepare(cases, track)
        store.prepare(cases, track)
        assert totals == [1, 2]

    @pytest.mark.parametrize("part", ["images", "labels"])
    def test_a_changed_file_is_noticed(self, root, folder, part):
        old = prepared(root, folder)["pt_2"]
        before = traces(folder)
        path = root / f"{part}Tr/pt_2.nii.gz"
        file = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(file.dataobj)[::-1], file.affine), path)
        new = prepared(root, folder)["pt_2"]
        assert made_since(before, folder) == ["pt_2"]
        assert np.array_equal(new.image, old.image) == (part == "labels")
        assert np.array_equal(new.native_label, old.native_label) == (part == "images")

    def test_a_file_that_was_only_touched_or_moved_is_not_prepared_again(self, root, folder, tmp_path):
        prepared(root, folder)
        before = traces(folder)
        os.utime(root / "imagesTr/pt_2.nii.gz")
        prepared(root, folder)
        assert made_since(before, folder) == []
        prepared(root.rename(tmp_path / "moved"), folder)
        assert made_since(before, folder) == []

    def test_a_change_that_keeps_size_and_time_is_noticed_when_verified(self, root, folder):
        path, other = (root / f"imagesTr/pt_{number}.nii.gz" for number in (2, 3))
        for file in (path, other):  # gzip reads over zeros at its end
            file.write_bytes(file.read_bytes().ljust(20_000, b"\0"))
        old = prepared(root, folder)["pt_2"]
        before, status = traces(folder), path.stat()
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        store, cases = store_of(root, folder)
        store.prepare(cases)
        assert made_since(before, folder) == []
        store.prepare(cases, verify=True)
        assert made_since(before, folder) == ["pt_2"]
        assert not np.array_equal(store.open([cases[1]])[0].image, old.image)

    def test_the_manifest_says_what_a_case_was_made_of(self, root, folder):
        prepared(root, folder, window=(-100.0, 275.0))
        facts = json.loads(next(folder.glob("pt_1/*/case.json")).read_text())
        image = root / "imagesTr/pt_1.nii.gz"
        assert facts["files"][0] == {
            "path": str(image.resolve()),
            "size": image.stat().st_size,
            "mtime_ns": image.stat().st_mtime_ns,
            "hash": hashlib.sha256(image.read_bytes()).hexdigest()[:12],
        }
        assert facts["affine"] == nib.load(image).affine.tolist()
        assert facts["recipe"]["preprocessing"]["window"] == [-100.0, 275.0]
        assert len(facts["voxels"]) == SHAPE[0]

    @pytest.mark.parametrize(
        "changed",
        [
            {"window": (-100.0, 275.0)},
            {"size": (8, 10)},
            {"grid": Grid((8, 8), spacing=(1.0, 1.0))},
            {"drop": ["right_kidney"]},
            {"axis": "coronal"},
            {"modality": "mr"},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_a_changed_setting_is_noticed_and_the_old_one_is_still_there(self, root, folder, changed):
        old = prepared(root, folder)
        before = traces(folder)
        new = prepared(root, folder, **changed)
        assert made_since(before, folder) == ["pt_1", "pt_2", "pt_3"]
        same = [np.array_equal(getattr(new["pt_1"], n), getattr(old["pt_1"], n)) for n in ("image", "label", "voxels")]
        assert not all(same)
        after = traces(folder)
        prepared(root, folder)
        assert traces(folder) == after

    def test_another_number_of_channels_is_checked_again(self, root, folder):
        prepared(root, folder)
        with pytest.raises(DataError, match="case pt_1: image has 1 channels but 2 are due; correct the channel names"):
            prepared(root, folder, in_channels=2)

    def test_what_an_interruption_left_does_not_disturb(self, root, folder):
        whole = prepared(root, folder)["pt_1"]
        image = np.array(whole.image)
        (path,) = folder.glob("pt_1/*")
        left = path.rename(path.parent / f".{path.name}-0a1b2c")
        (left / "image.npy").write_bytes((left / "image.npy").read_bytes()[:100])
        (left / "case.json").unlink()
        again = prepared(root, folder)["pt_1"]
        np.testing.assert_array_equal(again.image, image)
        np.testing.assert_array_equal(again.voxels, whole.voxels)

    @pytest.mark.parametrize("damaged", [b"\xff\xfe", b"", b"zz", b"0123456789ab\n"])
    def test_a_damaged_hash_is_none(self, root, folder, damaged):
        hashes = {id_: case.data_hash for id_, case in prepared(root, folder).items()}
        for path in (folder / ".hashes").iterdir():
            path.write_bytes(damaged)
        assert {id_: case.data_hash for id_, case in prepared(root, folder).items()} == hashes
        assert sorted(path.name for path in folder.glob("pt_*/*")) == sorted({p.name for p in folder.glob("pt_*/*")})

    def test_whoever_may_read_the_store_may_read_the_hashes_in_it(self, root, folder):
        before = os.umask(0o022)
        try:
            prepared(root, folder)
        finally:
            os.umask(before)
        entries = list((folder / ".hashes").iterdir())
        assert {entry.stat().st_mode & 0o777 for entry in entries} == {0o644}
        assert len(entries) == 6  # images and labels, and nothing unfinished

    def test_nothing_is_left_behind(self, root, folder):
        prepared(root, folder)
        assert sorted(path.name for path in folder.iterdir()) == [".hashes", ".index", ".lock", "pt_1", "pt_2", "pt_3"]
        for case in folder.glob("pt_*"):
            (path,) = case.iterdir()
            assert {file.name for file in path.iterdir()} == {
                "case.json",
                "image.npy",
                "label.npy",
                "native_label.npy",
            }
            assert path.stat().st_mode == case.stat().st_mode  # others may read it where they may read the store

    def test_two_preparations_at_once(self, root, folder):
        with ThreadPoolExecutor(4) as pool:
            opened = list(pool.map(lambda _: prepared(root, folder), range(4)))
        for other in opened[1:]:
            np.testing.assert_array_equal(other["pt_3"].image, opened[0]["pt_3"].image)
        assert len(list(folder.glob("pt_*/*"))) == 3


class TestDamagedArrays:
    """Files of the right size that hold something else: after a copy that was cut off, or by a failing disk."""

    @staticmethod
    def damage(folder, name="image"):
        (path,) = folder.glob(f"pt_2/*/{name}.npy")
        content = bytearray(path.read_bytes())
        content[-40:] = bytes(x ^ 1 for x in content[-40:])
        path.write_bytes(content)
        return path

    @pytest.mark.parametrize("name", ["image", "label", "native_label"])
    def test_they_are_prepared_anew_when_verified(self, root, folder, caplog, name):
        old = prepared(root, folder)["pt_2"]
        due = [np.array(each) for each in (old.image, old.label, old.native_label)]
        path = self.damage(folder, name)
        store, cases = store_of(root, folder)
        assert store.prepare(cases, verify=True) == {}
        assert f"case pt_2: {path.parent} no longer holds what was written there; prepared anew" in caplog.text
        assert caplog.text.count("prepared anew") == 1
        new = store.open(cases)[1]
        for mine, its in zip((new.image, new.label, new.native_label), due, strict=True):
            np.testing.assert_array_equal(mine, its)

    def test_a_store_that_was_copied_is_looked_through(self, root, folder, tmp_path):
        prepared(root, folder)
        self.damage(folder)
        moved = root.rename(tmp_path / "moved")
        store, cases = store_of(moved, folder)
        store.prepare(cases)
        with pytest.raises(DataError, match=r"case pt_2: .*image.npy changed after it was written\); .*--verify`"):
            store.open(cases)

    def test_what_was_prepared_before_there_were_check_sums(self, root, folder, tmp_path):
        prepared(root, folder)
        for path in folder.glob("pt_*/*/case.json"):
            facts = json.loads(path.read_text())
            del facts["sums"]
            path.write_text(json.dumps(facts))
        store, cases = store_of(root.rename(tmp_path / "moved"), folder)
        before = traces(folder)
        assert store.prepare(cases, verify=True) == {}
        assert len(store.open(cases)) == 3
        assert made_since(before, folder) == []

    def test_a_check_sum_is_that_of_zlib(self, root, folder):
        prepared(root, folder)
        for path in folder.glob("pt_*/*/case.json"):
            sums = json.loads(path.read_text())["sums"]
            assert sums == {each.name: zlib.crc32(each.read_bytes()) for each in path.parent.glob("*.npy")}
