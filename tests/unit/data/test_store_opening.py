"""Prepared cases are opened from one file of the store, and what is missing or damaged there is said."""

import os

import numpy as np
import pytest
from store_cases import SHAPE, folder, prepared, root, store_of
from tiny_data import save_nifti

from adawac.errors import DataError

__all__ = ["folder", "root"]  # fixtures


class TestOpening:
    def test_what_is_not_prepared_is_said(self, root, folder):
        store, cases = store_of(root, folder)
        with pytest.raises(
            DataError, match=r"case pt_1: its prepared arrays cannot be opened .*prepare the data first"
        ):
            store.open([cases[0]])

    @pytest.mark.parametrize("name", ["image.npy", "case.json"])
    def test_what_is_damaged_is_said_and_made_anew_once_deleted(self, root, folder, name):
        store, cases = store_of(root, folder)
        store.prepare(cases)
        (path,) = folder.glob("pt_1/*")
        (path / name).write_bytes((path / name).read_bytes()[:-30])
        with pytest.raises(DataError, match=f"or delete {path} to have them made anew"):
            store.open([cases[0]])
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
        assert prepared(root, folder)["pt_1"].image.shape == (1, 6, 8, 8)

    def test_many_are_opened_from_one_file(self, root, folder):
        opened = prepared(root, folder)
        for path in folder.glob("pt_*/*/case.json"):
            path.unlink()  # so that nothing else knows them
        store, cases = store_of(root, folder)
        assert store.digests(cases).keys() == opened.keys()
        for case in store.open(cases):
            assert (case.folder, case.data_hash) == (opened[case.id].folder, opened[case.id].data_hash)
            for name in ("image", "label", "native_label", "voxels", "steps"):
                np.testing.assert_array_equal(getattr(case, name), getattr(opened[case.id], name))

    def test_that_file_may_be_lost_or_damaged(self, root, folder):
        opened = prepared(root, folder)
        (index,) = (folder / ".index").iterdir()
        whole = index.read_bytes()
        for content in (whole[:-200], b"", whole[:500] + bytes(100) + whole[600:]):
            index.write_bytes(content)
            assert {id_: case.folder for id_, case in prepared(root, folder).items()} == {
                id_: case.folder for id_, case in opened.items()
            }
            assert index.read_bytes() == whole

    def test_what_it_says_of_a_changed_file_or_of_an_unnoticed_change_does_not_count(self, root, folder):
        old = prepared(root, folder)["pt_2"]
        file = root / "labelsTr/pt_2.nii.gz"
        before = file.stat()
        save_nifti(file, np.zeros(SHAPE, np.uint8))
        new = prepared(root, folder)["pt_2"]
        assert (old.voxels[:, 1:].sum() > 0, new.voxels[:, 1:].sum()) == (True, 0)
        file.write_bytes(file.read_bytes().ljust(before.st_size, b"\0"))  # of the same size, to the same nanosecond
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        store, cases = store_of(root, folder)
        assert store.open(cases)[1].folder == old.folder
        store.prepare(cases, verify=True)
        assert store.open(cases)[1].voxels[:, 1:].sum() == 0

    def test_a_store_that_cannot_be_written(self, root, tmp_path):
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(DataError, match=r"case pt_1: .* choose another folder with data.store"):
            prepared(root, tmp_path / "file")
