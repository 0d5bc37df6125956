"""The unlabelled frame of the body: skin, fat, lungs, heart, muscles and bones."""

from collections.abc import Iterator

import numpy as np

from adawac.phantom.layers import FAT, Draw, Habitus, Layer
from adawac.phantom.shapes import (
    Common,
    Ellipsoid,
    Grown,
    HalfSpace,
    Repeated,
    Shape,
    Trunk,
    Tube,
    Union,
    Without,
)


def body(draw: Draw, habitus: Habitus, wall: Trunk, cavity: Trunk) -> Iterator[Layer]:
    """Skin, subcutaneous fat, the wall of muscle and the fat within."""
    skin = Trunk(wall.half_width + habitus.fat, wall.half_depth + draw.near(0.8, 0.2) * habitus.fat, -2.0, 0.06)
    yield Layer(skin, 40.0)
    yield Layer(Grown(skin, -2.2), FAT - 5, texture=4)
    yield Layer(wall, draw.near(57, 4), texture=9)
    yield Layer(cavity, FAT, texture=12)


def chest(draw: Draw, habitus: Habitus, cavity: Trunk) -> Iterator[Layer]:
    """Lung bases, heart and diaphragm above the abdomen."""
    above = HalfSpace((0, -0.32, -1), draw.near(-24, 6))
    pleura = Grown(cavity, 3.0)
    yield Layer(Common(pleura, above), -840.0, texture=22)
    for _ in range(26):  # lung vessels fan out from the mediastinum
        side, forward = draw.rng.choice([-1, 1]), draw.near(10, 55)
        start = (side * 28, draw.near(15, 12), draw.near(105, 30))
        end = (side * draw.near(85, 22), forward, start[2] + draw.near(-14, 18))
        yield Layer(Common(Tube([start, end], [draw.near(3.4, 1), 0.9]), above), 10.0, blur=1.0)
    yield Layer(Union(Ellipsoid((2, 22, 110), (34, 42, 80)), Ellipsoid((4, -60, 110), (22, 40, 60)), blend=20), FAT)
    heart = Ellipsoid(draw.point(22, -26, habitus.top + 30), draw.radii(56, 46, 38), -25, 12)
    blood = draw.enhanced(125, 155, habitus.contrast)
    yield Layer(Grown(heart, 4.0), FAT, texture=10)
    yield Layer(heart, draw.near(95, 8), texture=8)
    for shift in (-20, 18):
        yield Layer(Ellipsoid((22 + shift, -24 - 0.3 * shift, habitus.top + 36), (17, 27, 26), -25), blood)
    yield Layer(Ellipsoid((6, 18, 110), (8, 6, np.inf)), 45.0)  # oesophagus, in the chest only
    right = Ellipsoid((-60, 2, -16), (88, 92, habitus.top + 20))
    left = Ellipsoid((66, 4, -18), (80, 88, habitus.top + 12))
    dome = Union(right, left, blend=10)
    yield Layer(Common(Grown(dome, 3.5), cavity), 55.0)
    yield Layer(Common(dome, Grown(cavity, -1)), FAT, texture=12)
    for side in (-1, 1):  # crura beside the aorta
        crus = Tube([(side * 18, 16, 62), (side * 17 + 2, 14, 20), (side * 12, 20, -15)], [4.5, 4.5, 2])
        yield Layer(crus, 60.0)


def muscles(draw: Draw, wall: Trunk) -> Iterator[Layer]:
    """Muscles of the back, the loins, the belly and the seat, around and within the cavity."""
    muscle = draw.near(58, 4)
    yield Layer(Ellipsoid((0, 87, 60), (52, 11, 130)), muscle, texture=14)
    for side in (-1, 1):
        bundles = []
        for lower, upper, radius in ((17, 11, 15), (42, 27, 14)):  # behind the ribs, thin in the chest
            column = [
                (side * lower, 70, -130),
                (side * lower, 71, 10),
                (side * upper, 83, 70),
                (side * upper, 84, 130),
            ]
            bundles.append(Tube(column, [draw.near(radius, 2), draw.near(radius, 2), 8, 7]))
        paraspinal = Union(*bundles, blend=10)
        yield Layer(Grown(paraspinal, 1.5), FAT)
        yield Layer(paraspinal, muscle, texture=22)
        loin = Ellipsoid((side * 66, 60, -62), (20, 9, 62), side * -28)
        yield Layer(loin, muscle, texture=14)
        psoas = Tube(
            [(side * 26, 42, 10), (side * 36, 38, -40), (side * 47, 26, -88), (side * 62, -2, -130)],
            [5, draw.near(16, 2), draw.near(20, 2), 19],
        )
        yield Layer(psoas, muscle, texture=10)
        rectus = Common(Ellipsoid((side * 32, -78, -80), (29, 8.5, 145)), Grown(wall, -1))
        yield Layer(rectus, muscle, texture=10)
        gluteus = Ellipsoid((side * 92, 58, -128), (48, 34, 48), side * -35)
        yield Layer(Common(gluteus, wall), muscle, texture=28)
    yield Layer(Tube([(0, -74, 130), (0, -86, -130)], [2.5, 3.5]), FAT)


def skeleton(draw: Draw, wall: Trunk) -> Iterator[Layer]:
    """Ribs, vertebrae and discs, sacrum and iliac wings: cortical shells around marrow."""
    marrow = draw.near(170, 40)
    chest = HalfSpace((0, -1, -0.95), draw.near(30, 6))
    beside = HalfSpace((0, 1, 0), 66.0)
    slot = draw.near(0, 14)
    for mm, hu in ((0.0, 430.0), (-1.8, marrow + 40)):
        band = Without(Grown(wall, -2.5 + mm), Grown(wall, -9.5 - mm))
        rib = Repeated(Ellipsoid((0, 0, 0), (np.inf, np.inf, 6.0 + mm)), 30.0, slot, 0.6, 0.5)
        yield Layer(Common(band, rib, chest, beside, blend=2), hu, texture=20)

    column = HalfSpace((0, 0, -1), 92.0)
    vertebra = Ellipsoid((0, 38, 0), (draw.near(24, 1.5), draw.near(18, 1), np.inf))
    vertebra_body = Without(vertebra, Ellipsoid((0, 66, 0), (13, 13, np.inf)), blend=4)
    phase, period = draw.near(0, 16), draw.near(35, 1.5)
    yield Layer(Common(vertebra_body, column), 85.0, texture=12)  # discs, where no bone follows
    canal = Ellipsoid((0, 64, 0), (11, 9.5, np.inf))
    slab = Ellipsoid((0, 0, 0), (np.inf, np.inf, period / 2 - 5))
    yield Layer(Common(Repeated(Common(vertebra_body, slab, blend=6), period, phase), column), 430.0, texture=30)
    inner = Common(Grown(vertebra_body, -2.4), Grown(slab, -1.8), blend=6)
    yield Layer(Common(Repeated(inner, period, phase), column), marrow, texture=40)
    arch = Common(Without(Grown(canal, 5.0), canal), Ellipsoid((0, 64, 4), (30, 30, 15)), blend=3)
    spine = Tube([(0, 77, 2), (0, 94, -5)], [4.0, 4.5])
    processes = [Tube([(s * 12, 60, 4), (s * 26, 61, 5), (s * 41, 65, 7)], [6.5, 4.2, 3.2]) for s in (-1, 1)]
    facets = [Ellipsoid((s * 17, 70, -6), (6.5, 5.5, 10)) for s in (-1, 1)]
    bones = Union(arch, spine, *processes, *facets, blend=4)
    yield Layer(Common(Repeated(bones, period, phase), column), 460.0, texture=40)
    yield Layer(Common(Repeated(Grown(bones, -2.6), period, phase), column), marrow + 60, texture=30)
    yield Layer(Grown(canal, -0.5), 5.0)
    yield Layer(Ellipsoid((0, 64, 0), (8, 7, np.inf)), 38.0)

    sacrum = Without(
        Ellipsoid((0, 52, -122), (52, 24, 34)),
        *[Tube([(s * 20, 20, -122), (s * 20, 82, -122)], [5, 5]) for s in (-1, 1)],
        Ellipsoid((0, 70, -120), (9, 7, np.inf)),
        blend=3,
    )
    wings = [_wing(side) for side in (-1, 1)]
    for bone in (sacrum, *wings):
        yield Layer(bone, 430.0, texture=30)
        yield Layer(Grown(bone, -2.4), marrow + 10, texture=40)


def _wing(side: int) -> Shape:
    """Iliac wing: a leaf of a bowl that opens upwards, from the sacroiliac joint outwards to the front."""
    bowl = Ellipsoid((0, -30, -50), (120, 104, 190))
    leaf = Without(bowl, Grown(bowl, -8.5))
    crest = Ellipsoid((side * 92, 18, -142), (62, 66, 64))
    return Common(leaf, crest, HalfSpace((-side, 0, 0), -40.0), blend=5)
