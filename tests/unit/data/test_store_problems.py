"""Bad cases, all reported at once, each by rule, value and remedy."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from store_cases import SHAPE, folder, prepare, prepared, root, store_of, traces
from tiny_data import make_case, save_nifti, write_acdc_volumes, write_msd

from adawac.data.grid import Grid
from adawac.errors import DataError

__all__ = ["folder", "root"]  # fixtures


def edit(path: Path, change) -> None:
    file = nib.load(path)
    array, affine = change(np.asarray(file.dataobj).astype(np.float32), file.affine.copy())
    nib.save(nib.Nifti1Image(array, affine), path)


def set_voxels(*values):
    def change(array, affine):
        array.flat[: len(values)] = values
        return array, affine

    return change


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Cases 1 and 2 are sound; of the others each breaks another rule."""
    root = write_msd(tmp_path_factory.mktemp("broken"), cases=10, shape=SHAPE)
    images = {number: root / f"imagesTr/pt_{number}.nii.gz" for number in range(1, 11)}
    labels = {number: root / f"labelsTr/pt_{number}.nii.gz" for number in range(1, 11)}
    edit(labels[3], lambda array, affine: (array[:-1], affine))
    edit(labels[4], lambda array, affine: (array, affine + 3.0 * np.outer([1, 0, 0, 0], [0, 0, 0, 1])))
    edit(labels[5], set_voxels(42, 42, 43))
    edit(labels[6], set_voxels(0.5, 1.25))
    edit(images[7], set_voxels(np.nan, np.nan))
    images[8].write_bytes(images[8].read_bytes()[:-200])
    images[9].write_text("<html>404: no such page</html>")
    save_nifti(images[10], make_case(np.random.default_rng(1), SHAPE, channels=2)[0])
    return root


PROBLEMS = {
    3: r"label has shape \(6, 16, 19\) but \(6, 16, 20\) is due .*; re-export the label on the image's grid",
    4: r"label lies 3 mm off the grid due .*; re-export the label on the image's grid",
    5: r"label values \[42, 43\] \(3 voxels\) stand for no class, only \[0, 1, 2\] are allowed; name them in the data",
    6: r"label values must be whole numbers but 2 voxels are not, such as 0.5; .*export again with nearest-neighbour",
    7: r"2 of 1920 voxels are NaN or infinite but intensities must be finite; repair or export the image again",
    8: r"imagesTr/pt_8.nii.gz: the file is unreadable, cut short or corrupt .*; copy it again",
    9: r"imagesTr/pt_9.nii.gz: .*; download the file again",
    10: r"image has 2 channels but 1 are due; correct the channel names or the file",
}


class TestProblems:
    @pytest.mark.parametrize("number", PROBLEMS)
    def test_every_case_is_named_with_rule_value_and_remedy(self, broken, folder, number):
        store, cases = store_of(broken, folder)
        with pytest.raises(DataError, match=rf"case pt_{number}: .*{PROBLEMS[number]}"):
            prepare(store, cases)

    def test_all_are_reported_at_once_and_sound_cases_are_kept(self, broken, folder):
        store, cases = store_of(broken, folder)
        with pytest.raises(DataError, match="8 problems:") as caught:
            prepare(store, cases)
        lines = str(caught.value).splitlines()[1:]
        assert [line.split(":")[0].strip() for line in lines] == [f"case pt_{number}" for number in PROBLEMS]
        assert sorted(path.name for path in folder.glob("pt_*")) == ["pt_1", "pt_2"]
        before = traces(folder)
        store.prepare(cases[:2])
        assert traces(folder) == before

    def test_a_file_that_is_gone_is_one_of_the_problems(self, root, folder):
        store, cases = store_of(root, folder)
        (root / "labelsTr/pt_1.nii.gz").unlink()
        edit(root / "labelsTr/pt_3.nii.gz", set_voxels(7))
        with pytest.raises(
            DataError, match=r"2 problems:(.|\n)*case pt_1: .*restore the file(.|\n)*case pt_3: .*\[7\]"
        ):
            prepare(store, cases)

    def test_a_fixed_spacing_of_unknown_spacing(self, tmp_path, folder):
        root = write_acdc_volumes(tmp_path / "acdc", cases=1)
        with pytest.raises(DataError, match=r"case patient001_frame01: .* set data.spacing to null"):
            prepared(root, folder, grid=Grid((8, 8), spacing=(1.0, 1.0)))

    def test_intensities_beyond_half_precision(self, root, folder):
        edit(root / "imagesTr/pt_2.nii.gz", lambda array, affine: (array * 100, affine))
        with pytest.raises(DataError, match=r"case pt_2: intensities reach .* set data.modality to `mr`"):
            prepared(root, folder, modality="prescaled")
        assert np.isfinite(prepared(root, folder, modality="mr")["pt_2"].image).all()
