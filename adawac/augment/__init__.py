"""Random views of a batch: parameters are drawn per sample and view, then applied in batched operations."""

from adawac.augment.chance import Chance
from adawac.augment.strong import StrongAugmentation, comparable
from adawac.augment.views import Augmentation, NoAugmentation, PaperAugmentation, RandomAugmentation

__all__ = [
    "Augmentation",
    "Chance",
    "NoAugmentation",
    "PaperAugmentation",
    "RandomAugmentation",
    "StrongAugmentation",
    "comparable",
]
