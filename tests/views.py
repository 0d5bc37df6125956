"""What the tests of augmentation share: batches, single effects, known maps."""

import torch

from adawac.augment import (
    Augmentation,
    Chance,
    RandomAugmentation,
)
from adawac.augment.geometry import affine_map, symmetries
from adawac.types import IGNORE_INDEX

OFF = {
    "rotation": Chance(0, 0, 0),
    "scaling": Chance(0, 1, 1),
    "translation": Chance(0, 0, 0),
    "noise": Chance(0, 0, 0),
    "blur": Chance(0, 0, 0),
    "brightness": Chance(0, 0, 0),
    "contrast": Chance(0, 1, 1),
    "gamma": Chance(0, 1, 1),
}
EVERYTHING = RandomAugmentation(
    elastic=Chance(0.5, 0.0, 0.02), quarter_turns=0.5, mirror_left_right=0.5, mirror_up_down=0.5
)


def only(**effects) -> RandomAugmentation:
    """An augmentation with nothing but these effects."""
    return RandomAugmentation(**{**OFF, **effects})


def batch(count=8, channels=1, height=33, width=33, seed=0):
    """Random image, random label with ignored pixels, index."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, channels, height, width, generator=generator)
    label = torch.randint(0, 5, (count, height, width), generator=generator, dtype=torch.uint8)
    label[:, height // 2, width // 2 :] = IGNORE_INDEX
    return image, label, torch.arange(count) + 100


def see(augment: Augmentation, data, epoch=0, view=0):
    return augment(*data, seed=1, epoch=epoch, view=view)


def smooth(height, width):
    """A smooth picture without symmetry, and its coordinates from the centre."""
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    return torch.sin(x / 7) + torch.cos(y / 5 + x / 11), x, y


def fixed(count=1, turns=0, flip_x=False, flip_y=False, degrees=0.0, scale=1.0, shift=(0.0, 0.0), plane=(33, 33)):
    """`affine_map` of constants."""
    symmetry = symmetries(torch.full((count,), turns), torch.full((count,), flip_x), torch.full((count,), flip_y))
    return affine_map(
        symmetry,
        torch.full((count,), degrees),
        torch.full((count,), scale),
        torch.tensor([shift]).repeat(count, 1),
        plane,
    )


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
