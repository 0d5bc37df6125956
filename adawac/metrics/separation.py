"""How well the weights of slices, or any scores, detect the label-dense among them."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from adawac.errors import DataError
from adawac.metrics.cases import RecordMetric
from adawac.metrics.overlap import AnyArray, numpy_array
from adawac.metrics.ranking import scores_and_groups, separation_auroc


class SeparationAUROC(RecordMetric):
    """Area under the ROC curve of scores as detectors of label-dense slices, over all slices that were given.

    Large scores stay different: they go through no sigmoid, in which large log-odds would become ties.

    Args:
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> auroc = SeparationAUROC()
        >>> auroc.update(torch.tensor([40.0, 39.0]), torch.tensor([True, True]))
        >>> auroc.update(torch.tensor([-2.0, 39.0]), torch.tensor([False, False]))
        >>> auroc.compute()
        tensor(0.8750)
    """

    higher_is_better = True

    def update(self, scores: AnyArray, dense: AnyArray, index: Sequence[int] | Tensor | None = None) -> None:
        """Take the scores of some slices.

        Args:
            scores: (n,) log-odds or weights, higher for slices held to be label-dense; of any float dtype.
            dense: (n,) bool, True for label-dense slices.
            index: (n,) row of each slice in the training set; one that is given again, by this process or another,
                counts once, with the score that was given first. None: all count.

        Raises:
            DataError: if the shapes differ, a score is NaN, or `dense` is not of bool.
        """
        values, groups = scores_and_groups(scores, dense)
        if np.isnan(values).any():
            raise DataError(f"{np.isnan(values).sum()} of {len(values)} scores are NaN; leave these slices out")
        rows = [None] * len(values) if index is None else numpy_array(index).tolist()
        if len(rows) != len(values):
            raise DataError(f"index: {len(rows)} given for {len(values)} scores; give one for each")
        self._add(list(zip(rows, values.tolist(), groups.tolist(), strict=True)))

    def compute(self) -> Tensor:
        """() float32, 0 to 1; NaN if there is no label-dense or no label-sparse slice."""
        found: dict[int, tuple[float, bool]] = {}
        for number, (row, score, dense) in enumerate(self._read()):
            found.setdefault(-1 - number if row is None else row, (score, dense))
        scores, groups = [score for score, _ in found.values()], [dense for _, dense in found.values()]
        return self._scalar(separation_auroc(np.array(scores), np.array(groups, dtype=bool)))
