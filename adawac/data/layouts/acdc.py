"""ACDC cardiac MR in h5 files, as SSL4MIS, WSL4MIS and AdaWAC's users have it: slices, volumes, or both."""

from pathlib import Path

from adawac.data.layouts.arrays import ArrayLayout, base_of, by_name, stacks
from adawac.data.layouts.base import Case, Collection
from adawac.data.layouts.files import beside, sorted_cases
from adawac.errors import DataError


class ACDC(ArrayLayout):
    """ACDC in h5 files with arrays `image` (0 to 1) and `label`.

        root/ACDC_training_slices/patient001_frame01_slice_1.h5     (H, W)
        root/ACDC_training_volumes/patient001_frame01.h5            (slices, H, W)

    Either folder will do, at the root or in `root/ACDC`; a case that both hold is read from its volume. A
    patient has two cases, so split with `patient_pattern: '(patient[0-9]+)_'`. The spacing is not recorded.

    Args:
        slices: folder of the slices, relative to the root (SSL4MIS: `data/slices`).
        volumes: folder of the volumes, relative to the root (SSL4MIS: `data`).

    References:
        Bernard et al., "Deep learning techniques for automatic MRI cardiac multi-structures segmentation and
        diagnosis: is the problem solved?", IEEE Transactions on Medical Imaging 37(11), 2514-2525 (2018).
    """

    def __init__(self, slices: str = "ACDC_training_slices", volumes: str = "ACDC_training_volumes") -> None:
        self.slices = slices
        self.volumes = volumes

    def matches(self, root: Path) -> bool:
        """Whether there is a folder of slices or of volumes."""
        return self._base(root) is not None

    def scan(self, root: Path) -> Collection:
        """List the cases, see `Layout.scan`."""
        base = self._base(root)
        if base is None:
            raise DataError(
                f"{root}: ACDC needs a folder {self.slices} or {self.volumes}; "
                "correct the path, or `slices` and `volumes` of the layout"
            )
        volumes = {name: (path,) for name, path in by_name(base / self.volumes, ".h5").items()}
        files: dict[str, tuple[Path, ...]] = volumes | stacks(
            by_name(base / self.slices, ".h5"),
            r"(.+)_slice_(\d+)",
            lambda _, path: f"{path}: a slice is named <case>_slice_<number>.h5; rename or remove it",
            without=volumes,
        )
        return Collection(
            name="ACDC",
            cases=sorted_cases((Case(name, paths, paths) for name, paths in files.items()), root),
            labels={0: "background", 1: "RV", 2: "myocardium", 3: "LV"},
            channels=("MR",),
            modality="prescaled",
            passed_over=beside([base / self.slices, base / self.volumes], (".h5",)),
        )

    def _base(self, root: Path) -> Path | None:
        """The folder that holds slices or volumes."""
        return base_of((root, root / "ACDC"), (self.slices, self.volumes))
