"""What lies in the abdomen: bowel, the eight labelled organs, and the vessels."""

from collections.abc import Iterator

import numpy as np

from adawac.phantom.layers import AIR, FAT, Draw, Habitus, Layer
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

ORGANS = (
    "aorta",
    "gallbladder",
    "left_kidney",
    "right_kidney",
    "liver",
    "pancreas",
    "spleen",
    "stomach",
)
"""Names of labels 1 to 8, in the order of Synapse."""
AORTA, GALLBLADDER, LEFT_KIDNEY, RIGHT_KIDNEY, LIVER, PANCREAS, SPLEEN, STOMACH = range(1, 9)


def bowel(draw: Draw, cavity: Trunk) -> Iterator[Layer]:
    """Small bowel loops and the frame of the colon, with stool, fluid and gas."""
    inside = Grown(cavity, -3.0)
    for loop_number in range(60):
        upper = loop_number < 14  # jejunum, left below the stomach
        x, y, z = draw.point(58, -8, -30, 26) if upper else draw.point(0, -34, -84, 34)
        x += 0.0 if upper else draw.near(0, 50)
        radius, angle, rise = draw.near(11, 3), draw.near(0, 180), draw.near(0, 14)
        arm = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]) * draw.near(24, 8)
        loop = Tube(
            [
                (x - arm[0], y - arm[1], z - rise),
                (x - arm[1] / 2, y + arm[0] / 2, z),
                (x + arm[0], y + arm[1], z + rise),
            ],
            [radius * 0.8, radius, radius * 0.9],
        )
        yield Layer(Common(loop, inside, blend=3), draw.near(85, 15), texture=10)
        yield Layer(Common(Grown(loop, -2.8), inside, blend=3), draw.near(25, 15), texture=14)
        if draw.rng.random() < 0.3:
            gas = HalfSpace((0, 1, 0), y - draw.near(0.2, 0.4) * radius)
            yield Layer(Common(Grown(loop, -3.2), gas, inside), AIR)
    ascending = [(-98, 12, -112), (-103, 8, -75), (-96, -12, -42)]
    transverse = [(-62, -58, -44), (-18, -68, -52), (30, -68, -46), (78, -52, -18)]
    descending = [(104, -8, 2), (106, 26, -35), (108, 24, -80), (98, 6, -112), (60, -10, -128)]
    chain = [draw.point(*p, 5) for p in ascending + transverse + descending]
    radii = [20.0, 20, 18, 15, 14, 13, 14, 13, 12, 11, 11, 13]
    colon = Tube(chain, [draw.near(r, 0.15 * r) for r in radii])
    folds = Repeated(Ellipsoid((0, 0, 0), (np.inf, np.inf, 2.0)), 24.0, draw.near(0, 12))
    colon_inside = Common(colon, inside, blend=4)
    yield Layer(colon_inside, 70.0)
    yield Layer(Without(Grown(colon_inside, -2.8), folds, blend=6), draw.near(5, 25), texture=70)
    level = HalfSpace((0, 1, 0), draw.near(-55, 25))
    yield Layer(Without(Common(Grown(colon_inside, -3.2), level), folds, blend=6), AIR)


def organs(draw: Draw, habitus: Habitus, cavity: Trunk) -> Iterator[Layer]:
    """The labelled organs but the aorta: the large ones first, so that the small ones keep their shape."""
    left, right = _kidney(draw, 1), _kidney(draw, -1)
    right_dome = Ellipsoid((-60, 2, -16), (87, 91, habitus.top + 18.5))
    left_dome = Ellipsoid((66, 4, -18), (77, 85, habitus.top + 8))
    room = Common(Grown(cavity, -2.5), Union(right_dome, left_dome, blend=10), blend=5)  # below the diaphragm
    yield from _spleen(draw, habitus, room, left)
    yield from _stomach(draw, room)
    yield from _liver(draw, habitus, room, right)
    yield from _gallbladder(draw)
    yield from _pancreas(draw, habitus)
    cortex = draw.enhanced(155, 180, habitus.contrast)
    yield from _renal_layers(draw, left, 1, cortex, LEFT_KIDNEY)
    yield from _renal_layers(draw, right, -1, cortex, RIGHT_KIDNEY)


def _kidney(draw: Draw, side: int) -> Ellipsoid:
    """A kidney's outline, its lower pole turned outwards along the psoas."""
    center = draw.point(side * 62, 42, -10 if side > 0 else -18, 4)
    return Ellipsoid(center, draw.radii(25, 28, 43), side * 25, side * 14)


def _spleen(draw: Draw, habitus: Habitus, room: Shape, kidney: Shape) -> Iterator[Layer]:
    """A crescent along the left wall, hollow where stomach and kidney press."""
    spleen = Without(
        Ellipsoid(draw.point(94, 38, 34, 4), draw.radii(36, 58, 44, 0.14), -20, 12),
        Ellipsoid((58, -6, 25), (34, 52, 70), -18),
        Grown(kidney, 5.0),
        blend=10,
    )
    yield Layer(Common(spleen, room, blend=4), draw.enhanced(110, 130, habitus.contrast), SPLEEN, 4)


def _stomach(draw: Draw, room: Shape) -> Iterator[Layer]:
    """Fundus to pylorus: a wall, fluid, and air where a supine patient has it, in front."""
    stomach = Union(
        Tube(
            [
                draw.point(60, 10, 46),
                draw.point(70, -18, 26),
                draw.point(56, -46, 0),
                draw.point(18, -50, -16),
            ],
            [draw.near(27, 4), draw.near(28, 5), draw.near(24, 5), draw.near(18, 3)],
        ),
        Tube([(20, -50, -16), draw.point(-14, -44, -12), draw.point(-30, -34, -8)], [draw.near(16, 2), 12, 9]),
        blend=12,
    )
    stomach_inside = Common(stomach, room, blend=6)
    lumen = Grown(stomach_inside, -4.0)
    yield Layer(stomach_inside, draw.near(72, 8), STOMACH, 8)
    yield Layer(lumen, draw.near(25, 15), None, draw.near(14, 10))
    level = HalfSpace((0, 1, 0), draw.near(-38, 14))
    yield Layer(Common(lumen, level), AIR, None)


def _liver(draw: Draw, habitus: Habitus, room: Shape, kidney: Shape) -> Iterator[Layer]:
    """Two lobes under the right dome, carved by bowel, spine and kidney, split in front by the fissure."""
    right_lobe = Ellipsoid(draw.point(-64, -2, 4), draw.radii(74, 86, 74, 0.06), 0, 8)
    left_lobe = Ellipsoid(draw.point(2, -46, 36), draw.radii(66, 30, 32, 0.12), 8, 12)
    hollow = Ellipsoid((-12, -22, -62), draw.radii(64, 70, 62))
    behind = Ellipsoid((10, 52, 0), (44, 50, np.inf))
    liver = Without(Union(right_lobe, left_lobe, blend=22), hollow, behind, Grown(kidney, 4.0), blend=14)
    fissure = Tube([(4, -84, 20), (-4, -40, 16), (-10, -22, 14)], [3.5, 3.0, 2.5])
    liver = Without(liver, fissure, blend=5)
    yield Layer(Common(liver, room, blend=5), draw.enhanced(100, 120, habitus.contrast), LIVER, 4)


def _gallbladder(draw: Draw) -> Iterator[Layer]:
    """A pear of bile in a thin wall at the liver's lower edge."""
    gallbladder = Tube([draw.point(-56, -58, -16), draw.point(-46, -36, -2)], [draw.near(15, 3), draw.near(9, 2)])
    yield Layer(gallbladder, draw.near(45, 8), GALLBLADDER)
    yield Layer(Grown(gallbladder, -2.0), draw.near(10, 4), None)


def _pancreas(draw: Draw, habitus: Habitus) -> Iterator[Layer]:
    """Head within the curve of the duodenum, body across the midline, tail towards the spleen: lobulated."""
    duodenum = Tube([(-32, -30, -10), (-44, -14, -20), (-40, -4, -42), (-8, -8, -52)], [10, 11, 11, 9])
    yield Layer(duodenum, 75.0, 0, 8)
    yield Layer(Grown(duodenum, -3.0), draw.near(25, 10), 0, 12)
    pancreas = Tube(
        [
            draw.point(-26, -8, -30, 2),
            draw.point(-20, -18, -14, 2),
            draw.point(4, -26, -2, 2),
            draw.point(34, -12, 8, 3),
            draw.point(66, 14, 14, 4),
        ],
        [draw.near(13, 2), draw.near(12, 2), draw.near(8.5, 1), draw.near(9.5, 1.5), draw.near(8.5, 1.5)],
    )
    yield Layer(Grown(pancreas, 2.0), FAT, texture=12)
    yield Layer(pancreas, draw.enhanced(90, 110, habitus.contrast), PANCREAS, 13, 1.5)


def _renal_layers(draw: Draw, kidney: Ellipsoid, side: int, cortex: float, label: int) -> Iterator[Layer]:
    """Perirenal fat, bright cortex, darker pyramids, and a sinus of fat and urine on the inner side."""
    x, y, z = kidney.center
    yield Layer(Grown(kidney, 5.0), FAT, texture=10)
    yield Layer(kidney, cortex, label, 5)
    for pole in (-26, -13, 0, 13, 26):
        for turn in (-1, 1):
            pyramid = Ellipsoid((x + side * 4, y + turn * 10, z + pole), (9, 6, 5.5))
            yield Layer(pyramid, cortex - draw.near(45, 10), None)
    yield Layer(Ellipsoid((x - side * 13, y - 4, z), (15, 8, 22), side * 20), FAT + 10, 0, 20, 1.0)
    yield Layer(Ellipsoid((x - side * 14, y - 4, z - 6), (11, 4.5, 7), side * 20), draw.near(60, 50))


def vessels(draw: Draw, habitus: Habitus) -> Iterator[Layer]:
    """Aorta, vena cava, portal and mesenteric vessels; outside the abdomen the aorta is unlabelled."""
    arterial = draw.enhanced(142, 168, habitus.contrast)
    venous = draw.enhanced(120, 150, habitus.contrast)
    portal = draw.enhanced(145, 170, habitus.contrast)
    radius, fork = draw.near(10.5, 1.8), habitus.bottom
    x, y = draw.near(10, 4), draw.near(9, 2)
    course = [(x + 8, y + 8, 130.0), (x + 3, y + 3, 60.0), (x, y, 10.0), (x - 3, y, fork)]
    aorta = Tube(course, [radius + 2, radius + 1, radius, radius - 1.5])
    abdomen = Common(HalfSpace((0, 0, 1), habitus.top), HalfSpace((0, 0, -1), -fork))
    yield Layer(aorta, arterial)
    yield Layer(Common(aorta, abdomen), arterial, AORTA)
    for side in (-1, 1):
        down = [(x - 3, y, fork), (side * 24, y + 6, fork - 30), (side * 42, y + 12, -135)]
        yield Layer(Tube(down, [radius - 3, 6.5, 6]), arterial)
        back = [(-16, y + 6, fork - 6), (side * 22 - 6, y + 16, fork - 34), (side * 40, y + 22, -135)]
        yield Layer(Tube(back, [9, 8, 7.5]), venous)
        yield Layer(Tube([(side * 10, y, -14), (side * 42, 34, -18)], [4, 3.5]), venous)
    cava = Tube([(-16, y + 6, fork - 6), (-20, y + 4, 0), (-24, 2, 45), (-18, -6, 82)], [10, 11, 12, 13])
    yield Layer(cava, venous)
    for x1, y1 in ((-95, 10), (-70, -40), (5, -52)):  # hepatic veins join the cava below the dome
        yield Layer(Tube([(-22, -2, 56), (x1, y1, draw.near(42, 8))], [4.5, 2]), venous + 15, None)
    trunk = [(-10, -16, -14), (-24, -14, 4), (-42, -8, 16)]
    yield Layer(Tube(trunk, [6.5, 7, 6.5]), portal)
    for x1, y1, z1 in ((-98, 8, 8), (-84, -38, 26), (-78, 30, 30)):
        yield Layer(Tube([(-42, -8, 16), (x1, y1, z1)], [6, 2]), portal, None)
    yield Layer(Tube([(-42, -8, 16), (-6, -34, 30), (26, -50, 34)], [5.5, 4.5, 2]), portal, None)
    yield Layer(Tube([(-10, -14, -10), (30, -2, 2), (72, 22, 20)], [5, 4.5, 4]), portal)  # splenic vein
    yield Layer(Tube([(x, y - 8, 2), (x - 2, y - 22, -12), (x - 4, -22, -60)], [4, 3.8, 3]), arterial)
    yield Layer(Tube([(-10, -14, -14), (-8, -22, -36), (-6, -26, -70)], [6, 5.5, 4]), portal)
    for _ in range(22):  # mesentery
        a = draw.point(0, -25, -62, 22)
        b = (a[0] + draw.near(0, 35), a[1] + draw.near(-4, 18), a[2] + draw.near(-8, 14))
        yield Layer(Tube([a, b], [2.2, 1.4]), venous - 20, blur=1.0)
