"""Cases predicted anew by a run's checkpoint: to measure them, or to draw them as they were measured."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adawac.evaluation.predictions import Predict, encoded
from adawac.evaluation.references import References
from adawac.evaluation.training_record import Settings
from adawac.inference.load_runs import load
from adawac.inference.segmenter import Segmenter
from adawac.io.volumes import Volume
from adawac.runs.folder import RunFolder


def predicted_by(run: RunFolder, references: References, settings: Settings, device: str = "cpu") -> Predict | None:
    """Predictions of a run's checkpoint; it is loaded when the first case is asked for.

    Args:
        run: run folder.
        references: the test cases, with images.
        settings: of the predictions that are measured, so that no others are drawn.
        device: where to predict.

    Returns:
        None where they were made with settings that cannot be repeated here.
    """
    if settings.otherwise:
        return None
    checkpoint = run.checkpoint if run.checkpoints else run.path
    flips, cleaned = settings.flip_left_right, None if settings.largest_component else ()  # None: as it chose

    def predict(case: str, target: Volume) -> NDArray[np.uint8]:
        image = references.image(case, target)
        segmenter = _loaded(checkpoint, checkpoint.stat().st_mtime_ns, device)
        labels = segmenter.predict(image, case, flip_left_right=flips, largest_component=cleaned)
        own = segmenter.recipe.data.classes
        told = dict(zip(own.values[1:], own.names[1:], strict=True))  # runs may have been trained on other numbers
        return encoded(labels, references, f"of {run.experiment}", told)

    return predict


@lru_cache(maxsize=1)
def _loaded(checkpoint: Path, changed_ns: int, device: str) -> Segmenter:
    """The model of a checkpoint, once in each process that predicts with it."""
    return load(checkpoint, device)
