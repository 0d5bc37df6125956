"""The grid of a volume: what leads from a file's own axes to the canonical ones and back."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from adawac.errors import DataError
from adawac.io.steps import SHEAR_TOLERANCE, largest_cosine, spacing_of

CANONICAL = ("S", "P", "L")
"""Where the axes Z, Y, X of a canonical array point."""

GRID_TOLERANCE = 0.25
"""How far, in voxels, the corners of two volumes may lie apart on what still counts as one grid."""


SPACINGS = (0.005, 50.0)
"""Smallest and largest spacing in mm: of micro-CT, and of the thickest slices. What lies beyond is of another unit."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a canonical array, and all it takes to go back to the file's own grid.

    Attributes:
        shape: (Z, Y, X) of the canonical array.
        spacing: (z, y, x) in mm, from a voxel to the next along each axis; None where it is unknown.
        affine: (4, 4) float64, voxel indices of the FILE (its own axis order) to mm, or None if unknown.
        qform: (4, 4) float64, the file's second such matrix, where it has one.
        codes: qform and sform code of the file's header, kept for writing.

    Example:
        >>> geometry = Geometry.of_affine((4, 5, 6), np.diag([-0.7, -0.7, 3.0, 1.0]))
        >>> geometry.shape, geometry.spacing
        ((6, 5, 4), (3.0, 0.7, 0.7))
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None = None
    affine: NDArray[np.float64] | None = None
    qform: NDArray[np.float64] | None = None
    codes: tuple[int, int] = (0, 2)

    @classmethod
    def of_affine(
        cls,
        file_shape: tuple[int, ...],
        affine: NDArray[np.float64],
        qform: NDArray[np.float64] | None = None,
        codes: tuple[int, int] = (0, 2),
    ) -> "Geometry":
        """Geometry of a file.

        Args:
            file_shape: the file's three spatial sizes, in its own axis order.
            affine: (4, 4) voxel indices of the file to mm.
            qform: (4, 4) second matrix of the file, if any.
            codes: qform and sform code.

        Raises:
            DataError: if the affine is singular or not finite, or a spacing beyond `SPACINGS`.
        """
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        volume = abs(np.linalg.det(affine[:3, :3])) if np.isfinite(affine).all() else 0.0
        if not volume > 1e-6 * lengths.prod():  # nor NaN; the product is the volume of an unsheared voxel
            raise DataError(f"the affine must be finite and invertible but is {np.round(affine[:3], 4).tolist()}")
        order = np.argsort(to_canonical(affine)[:, 0])  # file axis behind each canonical axis
        z, y, x = (int(axis) for axis in order)
        spacing = spacing_of(affine[:3, [z, y, x]])
        if not SPACINGS[0] <= min(spacing) <= max(spacing) <= SPACINGS[1]:
            sizes = " x ".join(f"{length:.4g}" for length in lengths)
            least, most = SPACINGS
            raise DataError(
                f"voxels are {sizes} mm (is the unit another?), but no scanner goes beyond {least} to {most:.0f} mm"
            )
        return cls(
            shape=(int(file_shape[z]), int(file_shape[y]), int(file_shape[x])),
            spacing=spacing,
            affine=affine,
            qform=qform,
            codes=codes,
        )

    @property
    def canonical_affine(self) -> NDArray[np.float64] | None:
        """(4, 4) indices (z, y, x) of the canonical array to mm (RAS+), or None if unknown."""
        if self.affine is None:
            return None
        back = from_canonical(self.affine)
        # inv_ornt_aff takes indices of the reoriented array (the file) to the original (canonical) ones.
        to_file: NDArray[np.float64] = np.linalg.inv(orientations.inv_ornt_aff(back, self.shape))
        return self.affine @ to_file

    @property
    def steps(self) -> NDArray[np.float64] | None:
        """(3, 3) mm from a voxel of the canonical array to the next along z, y and x, as columns; None if unknown.

        It is what distances and volumes need. Of axes at right angles, however they lie in space, it is the spacing on
        the diagonal, so that a grid and a turned or mirrored one measure alike; within `SHEAR_TOLERANCE` they count
        as such. Of others, as a tilted gantry gives them, it is the affine's.

        Example:
            >>> geometry = Geometry.of_affine((4, 5, 6), np.diag([-0.7, -0.7, 3.0, 1.0]))
            >>> geometry.steps.tolist()
            [[3.0, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 0.7]]
        """
        if self.spacing is None:
            return None
        affine = self.canonical_affine
        if affine is None or largest_cosine(affine[:3, :3]) <= SHEAR_TOLERANCE:
            return np.diag(self.spacing)
        return affine[:3, :3]

    def difference(self, other: "Geometry") -> str | None:
        """What keeps two volumes from lying on one grid, in words; None if nothing does.

        Args:
            other: grid to compare with. Corners may differ by `GRID_TOLERANCE` voxels. Files may store their
                axes in different orders: the canonical grids are compared.
        """
        if self.shape != other.shape:
            return f"has shape {self.shape} but {other.shape} is due (slices, rows, columns)"
        mine, theirs = self.canonical_affine, other.canonical_affine
        if mine is None or theirs is None or other.spacing is None:
            return None
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), -1).reshape(-1, 3)
        shift = (mine - theirs)[:3, :3] @ corners.T + (mine - theirs)[:3, 3:]
        distance = float(np.linalg.norm(shift, axis=0).max())
        if distance <= GRID_TOLERANCE * min(other.spacing):
            return None
        own = f", its own is {self.spacing} mm" * (self.spacing != other.spacing)
        return f"lies {distance:.3g} mm off the grid due (spacing {other.spacing} mm{own})"


def to_canonical(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 2) orientation transform from the file's axes to the canonical ones."""
    there: NDArray[np.float64] = _transforms(np.asarray(affine, dtype=np.float64).tobytes())[0].copy()
    return there


def from_canonical(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 2) orientation transform from the canonical axes to the file's."""
    back: NDArray[np.float64] = _transforms(np.asarray(affine, dtype=np.float64).tobytes())[1].copy()
    return back


@lru_cache(maxsize=1024)  # image and label mostly have one affine, and each is asked for it several times
def _transforms(affine: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """To the canonical axes and back, of the bytes of a (4, 4) affine."""
    own = orientations.io_orientation(np.frombuffer(affine).reshape(4, 4))
    canonical = orientations.axcodes2ornt(CANONICAL)
    return orientations.ornt_transform(own, canonical), orientations.ornt_transform(canonical, own)
