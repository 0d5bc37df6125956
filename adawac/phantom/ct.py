"""From one patient's anatomy to a CT: Hounsfield units with partial volume and noise, and a label map."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.ndimage import correlate1d, gaussian_filter

from adawac.phantom.anatomy import draw_layers, table
from adawac.phantom.layers import AIR, Draw, Layer
from adawac.phantom.shapes import Array, Points

FRAME = (240.0, 380.0, 380.0)
"""Extent of the standard frame along (Z, Y, X) in mm: what a volume of any size covers."""
_SLAB_VOXELS = 2**17  # a slab stays in the CPU's cache, and large volumes in memory


class Field:
    """A smooth random function of position with unit variance: cubic B-splines on a grid of normal numbers.

    Args:
        rng: source of the numbers; their count does not depend on the size of the volume.
        period: distance of the grid's knots in mm.
    """

    def __init__(self, rng: np.random.Generator, period: float) -> None:
        self.cells = [ceil(extent / period) for extent in FRAME]
        # The four cubic weights of a position have a root mean square of 0.69 along each axis.
        self.knots = (rng.standard_normal([n + 3 for n in self.cells]) / 0.69**3).astype(np.float32)

    def on(self, grid: tuple[Array, Array, Array]) -> Array:
        """Values (Z, Y, X) at all combinations of the positions z, y, x (mm) along the axes."""
        z, y, x = (self._basis(a, n, e) for a, n, e in zip(grid, self.cells, FRAME, strict=True))
        rows = np.matmul(y, np.tensordot(z, self.knots, axes=1))
        flat: Array = rows.reshape(-1, rows.shape[-1]) @ np.ascontiguousarray(x.T)
        return flat.reshape(len(z), len(y), len(x))

    @staticmethod
    def _basis(position: Array, cells: int, extent: float) -> Array:
        u = np.clip((position.astype(np.float64) / extent + 0.5) * cells, 0, cells - 1e-6)
        weights = BSpline.design_matrix(u, np.arange(-3.0, cells + 4), 3).toarray()
        return np.ascontiguousarray(weights, dtype=np.float32)


class Pose:
    """How a patient lies in the scanner and differs in shape: shift, roll, size and smooth deformation.

    Args:
        draw: random numbers of the patient.
    """

    def __init__(self, draw: Draw) -> None:
        self.shift = (draw.near(0, 5), draw.near(3, 3), 0.0)
        self.size = draw.near(1.0, 0.05)
        self.roll = np.deg2rad(draw.near(0, 2.5))
        self.bends = [(Field(draw.rng, 130.0), 5.5) for _ in range(3)]
        self.ripples = [(Field(draw.rng, 42.0), 1.8) for _ in range(3)]

    def points(self, grid: tuple[Array, Array, Array]) -> Points:
        """Coordinates (x, y, z) in the standard anatomy of every voxel of a grid, each (Z, Y, X)."""
        x = grid[2] - np.float32(self.shift[0])
        y = grid[1][:, None] - np.float32(self.shift[1])
        cos, sin = np.float32(np.cos(self.roll) / self.size), np.float32(np.sin(self.roll) / self.size)
        plain = (cos * x + sin * y, cos * y - sin * x, grid[0][:, None, None])
        moved = []
        for coordinate, (bend, far), (ripple, near) in zip(plain, self.bends, self.ripples, strict=True):
            moved.append(coordinate + np.float32(far) * bend.on(grid) + np.float32(near) * ripple.on(grid))
        return moved[0], moved[1], moved[2]


def render(
    seed: int,
    patient: int,
    size: tuple[int, int, int] = (48, 128, 128),
    spacing_mm: tuple[float, float, float] | None = None,
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.float64]]:
    """Render one patient: a pure function of its arguments; the size changes the sampling, not the anatomy.

    Args:
        seed: of the data set.
        patient: number of the patient, from 0.
        size: voxels along (Z, Y, X); the organs scale with the field of view.
        spacing_mm: (Z, Y, X) written into the affine; by default a field of view of 340 to 400 mm and a
            length of 225 to 255 mm, drawn for each patient.

    Returns:
        image (Z, Y, X) in HU, -1024 to 1500; label (Z, Y, X), 0 is background and 1 to 8 are `ORGANS`; both
        with axes pointing superior, posterior, left; and the (4, 4) affine of the transposed (X, Y, Z)
        arrays, as NIfTI keeps them.

    Example:
        >>> image, label, affine = render(seed=0, patient=3, size=(24, 64, 64))
        >>> image.shape, label.dtype, int(label.max())
        ((24, 64, 64), dtype('uint8'), 8)
    """
    rng = np.random.default_rng((seed, patient))
    draw = Draw(rng)
    layers = draw_layers(draw)
    pose, mottle = Pose(draw), Field(rng, 9.0)
    dose_noise, view, length = draw.near(12, 3), draw.near(370, 30), draw.near(240, 15)

    pixel = FRAME[1] / min(size[1:])
    z, y, x = (_centred(n, step) for n, step in zip(size, (FRAME[0] / size[0], pixel, pixel), strict=True))
    image = np.full(size, AIR, dtype=np.float32)
    label = np.zeros(size, dtype=np.uint8)
    slab = max(1, _SLAB_VOXELS // (size[1] * size[2]))
    for first in range(0, size[0], slab):
        part = slice(first, first + slab)
        grid = (z[part], y, x)
        texture = mottle.on(grid)
        still = np.broadcast_arrays(grid[2], grid[1][:, None], grid[0][:, None, None])
        for points, scene in ((still, table()), (pose.points(grid), layers)):
            _paint(scene, image[part], label[part], texture, points, pixel)
    _scan(image, rng, pixel, dose_noise)

    if spacing_mm is None:
        spacing_mm = (length / size[0], view / min(size[1:]), view / min(size[1:]))
    affine = np.diag([-spacing_mm[2], -spacing_mm[1], spacing_mm[0], 1.0])  # NIfTI's world is right to left
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(size[::-1]) - 1) / 2)
    return np.clip(np.rint(image), -1024, 1500).astype(np.int16), label, affine


def _centred(count: int, step: float) -> Array:
    centres: Array = ((np.arange(count) - (count - 1) / 2) * step).astype(np.float32)
    return centres


def _paint(
    scene: Sequence[Layer],
    image: Array,
    label: NDArray[np.uint8],
    texture: Array,
    points: Sequence[Array],
    pixel: float,
) -> None:
    """Mix layers in, one after the other, by how much of each voxel they cover; a label wins from one half on.

    Args:
        scene: the layers.
        image: (Z, Y, X) HU of a slab of slices, painted in place.
        label: (Z, Y, X) classes, painted in place.
        texture: (Z, Y, X) mottling of unit variance.
        points: x, y, z of the voxels in the frame of the shapes.
        pixel: distance of two voxels in plane, mm: the width over which an edge is a mixture of two tissues.
    """
    x, y, z = points
    # Which coordinates each plane of voxels spans, so that a layer is computed only where its box is.
    spans = [
        (values.min(axis=others), values.max(axis=others)) for values, others in ((x, (0, 1)), (y, (0, 2)), (z, (1, 2)))
    ]
    for layer in scene:
        width = pixel + layer.blur
        hits = [
            np.flatnonzero((high > start - width) & (low < end + width))
            for (low, high), start, end in zip(spans, *layer.shape.box, strict=True)
        ]
        if not all(map(len, hits)):
            continue
        box = tuple(slice(hit[0], hit[-1] + 1) for hit in reversed(hits))
        depth = layer.shape.distance((x[box], y[box], z[box]))
        cover = np.clip(np.float32(0.5) - depth / np.float32(width), 0, 1)
        tissue = layer.hu + np.float32(layer.texture) * texture[box] if layer.texture else layer.hu
        canvas = image[box]
        canvas += cover * (tissue - canvas)
        if layer.label is not None:
            label[box][cover > 0.5] = layer.label


def _scan(image: Array, rng: np.random.Generator, pixel: float, noise_hu: float) -> None:
    """Blur as slice and detector do, then add noise: correlated in plane, strongest deep in the body."""
    correlate1d(image, [0.12, 0.76, 0.12], axis=0, output=image, mode="nearest")
    y, x = (_centred(n, pixel) for n in image.shape[1:])
    deep = np.exp(-np.square(y[:, None] / 120) - np.square(x / 160))
    strength = np.float32(noise_hu) * (np.float32(0.6) + np.float32(0.6) * deep)
    for plane in image:
        plane[:] = gaussian_filter(plane, max(0.5, 1.0 / pixel))
        grain = gaussian_filter(rng.standard_normal(plane.shape, dtype=np.float32), 0.75)
        plane += strength * grain / grain.std()
