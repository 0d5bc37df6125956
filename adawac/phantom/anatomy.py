"""One patient's anatomy: which shapes of which tissue lie where, painted in order.

Millimetres in a standard frame of 380 x 380 x 240 mm around the body's centre: +x left, +y posterior,
+z superior. The lung bases fill the top fifth, the pelvis the bottom fifth; the labelled organs lie between.
"""

from adawac.phantom.layers import AIR, Draw, Habitus, Layer
from adawac.phantom.organs import bowel, organs, vessels
from adawac.phantom.shapes import (
    Common,
    HalfSpace,
    Trunk,
)
from adawac.phantom.torso import body, chest, muscles, skeleton


def table() -> list[Layer]:
    """The scanner's table: a foam pad in a thin curved shell, which keeps its place under every patient."""
    under = HalfSpace((0, -1, 0), -80.0)
    return [
        Layer(Common(Trunk(290, 124, 20.0, 0.0), under), 200.0),
        Layer(Trunk(287, 121, 20.0, 0.0), -940.0),
        Layer(Common(Trunk(287, 109, 20.0, 0.0), under), 200.0),
        Layer(Trunk(285, 106.5, 20.0, 0.0), AIR),
    ]


def draw_layers(draw: Draw) -> list[Layer]:
    """Draw a patient's anatomy, to be painted from first to last.

    Args:
        draw: random numbers of the patient.

    Returns:
        Layers, outermost first; labelled organs after the unlabelled tissue that they displace.
    """
    habitus = Habitus(draw.near(18, 9), draw.near(72, 5), draw.near(-61, 5), draw.near(0.5, 0.5))
    wall = Trunk(draw.near(132, 6), draw.near(93, 5), -2.0)
    cavity = Trunk(wall.half_width - 12, wall.half_depth - 10, -3.0)
    return [
        *body(draw, habitus, wall, cavity),
        *chest(draw, habitus, cavity),
        *muscles(draw, wall),
        *skeleton(draw, wall),
        *bowel(draw, cavity),
        *organs(draw, habitus, cavity),
        *vessels(draw, habitus),
    ]
