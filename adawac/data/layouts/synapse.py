"""Synapse multi-organ CT as TransUNet's users have it: training slices in npz, test volumes in h5 files."""

import re
from pathlib import Path

from adawac.data.layouts.arrays import ArrayLayout, base_of, by_name, stacks
from adawac.data.layouts.base import Case, Collection
from adawac.data.layouts.files import beside, check_exist, sorted_cases
from adawac.errors import DataError

_ORGANS = ("aorta", "gallbladder", "left_kidney", "right_kidney", "liver", "pancreas", "spleen", "stomach")


class Synapse(ArrayLayout):
    """The preprocessed Synapse data set, windowed to [-125, 275] HU and scaled to 0 to 1.

        root/train_npz/case0005_slice000.npz    arrays image and label, (H, W)
        root/test_vol_h5/case0001.npy.h5        arrays image and label, (slices, H, W)
        root/lists/lists_Synapse/train.txt, test_vol.txt    where they are there, only what they list

    The two folders may lie in `root/Synapse` or `root/data/Synapse`, the lists also in `root/lists_Synapse`.

    Args:
        lists: folder of the list files, relative to the root, such as `lists/lists_Synapse/half_vol`; None
            looks in the usual places.

    References:
        Chen et al., "TransUNet: Transformers make strong encoders for medical image segmentation",
        arXiv 2102.04306 (2021).
    """

    def __init__(self, lists: str | None = None) -> None:
        self.lists = lists

    def matches(self, root: Path) -> bool:
        """Whether there is a folder train_npz or test_vol_h5."""
        return _base(root) is not None

    def scan(self, root: Path) -> Collection:
        """List the cases, see `Layout.scan`."""
        base = _base(root)
        if base is None:
            raise DataError(f"{root}: Synapse needs a folder train_npz or test_vol_h5; correct the path")
        cases = sorted_cases([*self._train(root, base), *self._test(root, base)], root)
        collection = Collection(
            name="Synapse",
            cases=cases,
            labels={0: "background"} | dict(enumerate(_ORGANS, start=1)),
            channels=("CT",),
            modality="prescaled",
            passed_over=beside([base / "train_npz", base / "test_vol_h5"], (".npz", ".npy.h5")),
        )
        check_exist(collection)
        return collection

    def _train(self, root: Path, base: Path) -> list[Case]:
        """Training volumes, slices in the order of their numbers."""
        folder, listed = base / "train_npz", self._listed(root, base, "train.txt")
        found = stacks(
            _chosen(folder, ".npz", listed),
            r"(.+)_slice(\d+)",
            lambda name, _: f"{folder}: a slice is named <case>_slice<number> but there is {name!r}; rename it",
            whole=listed is None,  # a list may choose slices, a folder must be whole
        )
        return [Case(name, paths, paths, "train") for name, paths in found.items()]

    def _test(self, root: Path, base: Path) -> list[Case]:
        """Test volumes."""
        found = _chosen(base / "test_vol_h5", ".npy.h5", self._listed(root, base, "test_vol.txt"))
        return [Case(name, (path,), (path,), "test") for name, path in found.items()]

    def _listed(self, root: Path, base: Path, name: str) -> list[str] | None:
        """Names in a list file; None where there is no such file."""
        usual = [folder / "lists_Synapse" for folder in (root, root / "lists", base, base / "lists")]
        folders = usual if self.lists is None else [root / self.lists]
        if self.lists is not None and not folders[0].is_dir():
            raise DataError(f"{folders[0]}: the folder of lists does not exist; correct `lists` of the layout")
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            return None
        names = path.read_text(encoding="utf-8-sig").split()
        if wrong := [entry for entry in names if not re.fullmatch(r"[\w.-]+", entry) or ".." in entry]:
            raise DataError(f"{path}: {wrong[:3]} must be plain names without folders; correct the list")
        return names


def _base(root: Path) -> Path | None:
    """The folder that holds train_npz or test_vol_h5."""
    return base_of((root, root / "Synapse", root / "data" / "Synapse"), ("train_npz", "test_vol_h5"))


def _chosen(folder: Path, ending: str, listed: list[str] | None) -> dict[str, Path]:
    """Files of a folder by name: those that are listed, there or not, or all."""
    there = by_name(folder, ending)
    return there if listed is None else {name: there.get(name, folder / f"{name}{ending}") for name in listed}
