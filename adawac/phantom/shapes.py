"""Solid shapes as signed distances (mm, negative inside), the bricks of the phantom's anatomy."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import inf

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Points = tuple[Array, Array, Array]
"""Coordinates x, y, z in mm (arrays of one shape): +x left, +y posterior, +z superior."""
Vec = tuple[float, float, float]
Box = NDArray[np.float64]
"""(2, 3) lowest and highest corner of what a shape can touch; infinite where it has no end."""

OUTWARDS = np.array([[-1.0], [1.0]])
"""Which way a corner goes where a box grows."""


class Shape(ABC):
    """A solid: how far is a point from its surface, and which box holds it: all, where none is said."""

    box: Box = inf * OUTWARDS.repeat(3, axis=1)

    @abstractmethod
    def distance(self, p: Points) -> Array:
        """Signed distance (mm) of every point to the surface, negative inside; first order close to it."""


class Ellipsoid(Shape):
    """An ellipsoid, turned in the axial and tilted in the coronal plane; an infinite radius makes a cylinder.

    Args:
        center: (x, y, z) in mm.
        radii: semi-axes in mm.
        turn: degrees about z, from x (left) to y (posterior).
        tilt: degrees about y, from x (left) to z (superior); applied after `turn`.

    Example:
        >>> ball = Ellipsoid((0, 0, 0), (10, 10, 10))
        >>> points = tuple(np.array(v, dtype=np.float32) for v in ([0, 12], [0, 0], [0, 0]))
        >>> ball.distance(points).round(1).tolist()
        [-10.0, 2.0]
    """

    def __init__(self, center: Vec, radii: Vec, turn: float = 0.0, tilt: float = 0.0) -> None:
        ct, st = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        cu, su = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
        about_z = np.array([[ct, -st, 0], [st, ct, 0], [0, 0, 1]])
        about_y = np.array([[cu, 0, -su], [0, 1, 0], [su, 0, cu]])
        axes = about_y @ about_z
        self.center = center
        self.rows = (axes.T / np.array(radii)[:, None]).astype(np.float32)
        self.reach = float(min(radii))
        with np.errstate(invalid="ignore"):  # 0 * inf along the axis of a cylinder
            half = np.sqrt(np.nansum((axes * np.array(radii)) ** 2, axis=1))
        self.box = np.array(center) + half * OUTWARDS

    def distance(self, p: Points) -> Array:
        """Exact for a ball, first order for others: (r - 1) r / |grad|."""
        d = [p[i] - np.float32(self.center[i]) for i in range(3)]
        # A trace of the shortest semi-axis keeps the very centre, where the gradient vanishes, from 0 / 0.
        value: Array = np.full(1, 1e-6, dtype=np.float32)
        slope: Array = np.full(1, 1e-6 / self.reach**2, dtype=np.float32)
        for row in range(3):
            a, b, c = self.rows[row]
            if a == b == c == 0:
                continue
            u: Array = a * d[0] + b * d[1] if c == 0 else a * d[0] + b * d[1] + c * d[2]
            u *= u
            value = value + u
            slope = slope + u * np.float32(a * a + b * b + c * c)
        r: Array = np.sqrt(value)
        gradient: Array = np.sqrt(slope)
        return (value - r) / gradient


class Tube(Shape):
    """A bent tube: balls of changing radius swept along a chain of points.

    Args:
        points: chain of (x, y, z) in mm, at least two.
        radii: a radius for each point, in mm.
    """

    def __init__(self, points: Sequence[Vec], radii: Sequence[float]) -> None:
        self.points = np.asarray(points, dtype=np.float32)
        self.radii = np.asarray(radii, dtype=np.float32)
        low, high = self.points - self.radii[:, None], self.points + self.radii[:, None]
        self.box = np.array([low.min(axis=0), high.max(axis=0)], dtype=np.float64)

    def distance(self, p: Points) -> Array:
        """Smallest distance to the segments, minus the radius there."""
        best: Array = np.array(inf, dtype=np.float32)
        for a, b, ra, rb in zip(self.points, self.points[1:], self.radii, self.radii[1:], strict=False):
            dx, dy, dz = p[0] - a[0], p[1] - a[1], p[2] - a[2]
            e = b - a
            t = np.clip((dx * e[0] + dy * e[1] + dz * e[2]) / np.maximum(e @ e, np.float32(1e-6)), 0, 1)
            dx -= t * e[0]
            dy -= t * e[1]
            dz -= t * e[2]
            d: Array = np.sqrt(dx * dx + dy * dy + dz * dz) - (ra + t * (rb - ra))
            best = np.minimum(best, d)
        return best


@dataclass(frozen=True)
class Trunk(Shape):
    """A rounded column along z, narrowest at the waist: skin, fat and wall of the body.

    Attributes:
        half_width: semi-axis along x at the waist, in mm.
        half_depth: semi-axis along y at the waist, in mm.
        y: of the axis, in mm.
        flare: growth of both semi-axes 100 mm above or below the waist, as a share.
    """

    half_width: float
    half_depth: float
    y: float
    flare: float = 0.05

    def distance(self, p: Points) -> Array:
        """Distance along the ray from the axis."""
        flare = 1 + np.float32(self.flare) * np.square((p[2] + np.float32(40)) * np.float32(0.01))
        u = np.square(p[0] / np.float32(self.half_width))
        y = p[1] - np.float32(self.y)
        v = np.square(y / np.float32(self.half_depth))
        # Between an ellipse (factor 2) and a box with round corners (0).
        q = np.sqrt(np.sqrt(u * u + v * v + np.float32(1.35) * u * v)) / flare
        ray = np.sqrt(p[0] * p[0] + y * y)
        out: Array = np.where(q > 0.05, (q - 1) * ray / np.maximum(q, 0.05), -np.float32(self.half_depth))
        return out


@dataclass(frozen=True)
class HalfSpace(Shape):
    """Everything on one side of a plane: n . p < offset, with n of length one after normalising."""

    normal: Vec
    offset: float

    def distance(self, p: Points) -> Array:
        """Distance to the plane."""
        a, b, c = self.normal
        length = float(np.sqrt(a * a + b * b + c * c))
        flat = np.float32(a / length) * p[0] + np.float32(b / length) * p[1] + np.float32(c / length) * p[2]
        out: Array = flat - np.float32(self.offset / length)
        return out


class Grown(Shape):
    """A shape dilated (mm > 0) or eroded (mm < 0)."""

    def __init__(self, shape: Shape, mm: float) -> None:
        self.shape, self.mm = shape, mm
        self.box = shape.box + mm * OUTWARDS

    def distance(self, p: Points) -> Array:
        """Distance to the moved surface."""
        out: Array = self.shape.distance(p) - np.float32(self.mm)
        return out


class Union(Shape):
    """Several shapes grown together, with fillets of `blend` mm."""

    def __init__(self, *shapes: Shape, blend: float = 0.0) -> None:
        self.shapes, self.blend = shapes, blend
        low, high = zip(*(shape.box for shape in shapes), strict=True)
        self.box = np.array([np.min(low, axis=0), np.max(high, axis=0)]) + blend / 4 * OUTWARDS

    def distance(self, p: Points) -> Array:
        """Smooth minimum of the distances."""
        return _smooth_min([shape.distance(p) for shape in self.shapes], self.blend)


class Common(Shape):
    """What several shapes share, with edges rounded over `blend` mm."""

    def __init__(self, *shapes: Shape, blend: float = 0.0) -> None:
        self.shapes, self.blend = shapes, blend
        low, high = zip(*(shape.box for shape in shapes), strict=True)
        self.box = np.array([np.max(low, axis=0), np.min(high, axis=0)])

    def distance(self, p: Points) -> Array:
        """Smooth maximum of the distances."""
        return -_smooth_min([-shape.distance(p) for shape in self.shapes], self.blend)


class Without(Shape):
    """A shape with others carved out, the rims rounded over `blend` mm."""

    def __init__(self, shape: Shape, *holes: Shape, blend: float = 0.0) -> None:
        self.shape, self.holes, self.blend = shape, holes, blend
        self.box = shape.box

    def distance(self, p: Points) -> Array:
        """Smooth maximum of the distance and the holes' negative distances."""
        return -_smooth_min([-self.shape.distance(p), *(hole.distance(p) for hole in self.holes)], self.blend)


class Repeated(Shape):
    """A shape around z = 0, repeated along z: vertebrae, ribs, folds.

    Args:
        shape: lies within +- period / 2 of its plane.
        period: distance of two copies in mm.
        phase: z of one copy in mm.
        lean: rise of the copies towards the back, mm per mm.
        sag: fall of the copies towards the sides, mm per mm.
    """

    def __init__(self, shape: Shape, period: float, phase: float = 0.0, lean: float = 0.0, sag: float = 0.0) -> None:
        self.shape, self.period, self.phase, self.lean, self.sag = shape, period, phase, lean, sag
        self.box = np.hstack([shape.box[:, :2], Shape.box[:, 2:]])

    def distance(self, p: Points) -> Array:
        """Distance to the copy whose slot holds the point."""
        z = p[2] - np.float32(self.phase)
        if self.lean:
            z -= np.float32(self.lean) * p[1]
        if self.sag:
            z += np.float32(self.sag) * np.abs(p[0])
        z -= np.float32(self.period) * np.round(z / np.float32(self.period))
        return self.shape.distance((p[0], p[1], z))


def _smooth_min(distances: Sequence[Array], blend: float) -> Array:
    """Minimum of distances, the kink between two of them replaced by a parabola `blend` mm wide."""

    def smaller(a: Array, b: Array) -> Array:
        least: Array = np.minimum(a, b)
        if blend == 0:
            return least
        h = np.maximum(np.float32(blend) - np.abs(a - b), 0)
        rounded: Array = least - h * h * np.float32(0.25 / blend)
        return rounded

    return reduce(smaller, distances)
