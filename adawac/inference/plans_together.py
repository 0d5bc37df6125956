"""Models of one task that see it differently, in 2D and in 3D say, as one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from adawac.inference.largest_component import keep_largest
from adawac.inference.segmenter import Prediction, Segmenter
from adawac.io.volumes import Volume
from adawac.runs.checkpoint import Recipe


class PlansTogether(Segmenter):
    """The mean of class probabilities on the volume's own grid, where slices, patches and axes of all plans meet.

    Probabilities of all classes are held at once: 8 bytes a voxel and class.

    Args:
        members: of the same classes and channels, at least one; recipes may differ in all else.
        counts: how many networks each of them stands for.
    """

    def __init__(self, members: Sequence[Segmenter], counts: Sequence[int]) -> None:
        recipes = [member.recipe for member in members]
        recipe = replace(recipes[0], largest_component=cleaned_by_all(recipes))
        super().__init__(recipe, nn.ModuleList(member.network for member in members))
        self.members = tuple(members)
        self.shares = [count / sum(counts) for count in counts]

    def check_flip(self) -> None:
        """That the slices of every plan show left and right."""
        for member in self.members:
            member.check_flip()

    def classify(
        self,
        volume: Volume,
        case: str = "volume",
        flip_left_right: bool = False,
        largest_component: str | Sequence[str] | None = None,
        probabilities: bool = False,
    ) -> Prediction:
        """As of one model; what any of them finds odd about the image is said once."""
        cleaned = self.indices(largest_component)
        mean = np.float32(0)
        notes: list[str] = []
        for member, share in zip(self.members, self.shares, strict=True):
            found = member.classify(volume, case, flip_left_right, (), probabilities=True)
            mean = mean + np.float32(share) * np.asarray(found.probabilities, np.float32)
            notes += found.notes
        labels = np.argmax(mean, axis=0).astype(np.uint8)
        return Prediction(
            keep_largest(labels, cleaned) if cleaned else labels,
            mean.astype(np.float16) if probabilities else None,
            tuple(dict.fromkeys(notes)),
        )


def cleaned_by_all(recipes: Sequence[Recipe]) -> tuple[str, ...]:
    """Classes of which every run chose to keep the largest part alone."""
    chosen = (set(recipe.largest_component) for recipe in recipes)
    common = set.intersection(*chosen)
    return tuple(name for name in recipes[0].largest_component if name in common)
