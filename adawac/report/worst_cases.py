"""Worst cases as pictures: one slice, the reference's outline, and each method's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adawac.errors import AdaWACError, rounded
from adawac.evaluation import InView
from adawac.evaluation.predictions import Predict
from adawac.evaluation.references import References, labelled
from adawac.figures import Panel, side_by_side
from adawac.io.steps import spacing_of
from adawac.report.blocks import Picture
from adawac.report.charts import encode
from adawac.report.contents import SubsetResult
from adawac.report.runs import MethodRun
from adawac.report.wording import on_subset

MOST_METHODS = 4
"""Panels of a picture."""


def worst_cases(view: InView, count: int) -> dict[str, float]:
    """So many cases of the lowest Dice, mean over the organs that count, methods and runs, the worst first."""
    shared = view.shared("dice", "all")
    values = np.stack([each.mean(axis=1) for each in shared.values], axis=1)  # however many runs a method has
    means = {
        case: float(found[:, pairs].mean())
        for case, found, pairs in zip(shared.cases.tolist(), values, shared.pairs, strict=True)
        if pairs.any()
    }
    return dict(sorted(means.items(), key=lambda item: item[1])[:count])


def worst_pictures(
    subsets: Sequence[SubsetResult],
    runs: Sequence[MethodRun],
    references: References | None,
    count: int,
    why_none: str = "",
) -> tuple[list[Picture], str]:
    """Pictures of the worst cases of each training subset, or why there are none.

    Args:
        subsets: the training subsets.
        runs: all; of each method the first is shown that can predict as it was measured.
        references: the test cases, with images.
        count: pictures a subset; 0 for none.
        why_none: why there are no references.
    """
    if count == 0:
        return [], ""
    if references is None or not references.has_images:
        return [], f"No pictures: {why_none or 'the images are not at hand; give --labels and --images'}."
    pictures: list[Picture] = []
    for number, subset in enumerate(subsets):
        here = [run for run in runs if run.subset == subset.name]
        shown: dict[str, tuple[str, Predict]] = {}
        for run in here:
            if run.predict is not None and len(shown) < MOST_METHODS:
                shown.setdefault(run.method, (run.name, run.predict))
        others = dict.fromkeys(run.method for run in here if run.method not in shown)
        for case, dice in worst_cases(subset.view, count).items():
            if case not in references.cases or not shown:
                continue
            try:
                picture = _picture(case, dice, subset.name, shown, references, f"{number}_{len(pictures)}")
                left = f" Not drawn: {', '.join(others)}." if others else ""
                pictures.append(replace(picture, caption=picture.caption + left))
            except AdaWACError as error:
                return pictures, f"Pictures are missing: {error}."
    return pictures, "" if pictures else "No pictures: no run can predict the worst cases anew as it was measured."


def _picture(
    case: str, dice: float, subset: str, shown: Mapping[str, tuple[str, Predict]], references: References, name: str
) -> Picture:
    target = references.target(case)
    preds = {method: references.cut(predict(case, target)) for method, (_, predict) in shown.items()}
    reference = references.cut(target.array[0])
    image = references.cut(references.image(case, target).array[0])
    position = telling_slice(reference, list(preds.values()))
    steps = references.steps(target)
    window, outlined = shown_window(image[position]), np.where(labelled(reference), reference, 0)[position]
    figure = side_by_side(
        {method: Panel(window, outlined, each[position]) for method, each in preds.items()},
        references.classes.names,
        spacing=(1.0, 1.0) if steps is None else spacing_of(steps)[1:],
        origin="upper" if references.axis == "axial" else "lower",
    )
    where = f"{case}, slice {position} (0 to {len(reference) - 1})"
    on = f"{on_subset(subset, capital=True)}: " if subset else ""
    runs = ", ".join(run for run, _ in shown.values())
    return Picture(
        f"case_{name}_{re.sub(r'[^A-Za-z0-9_.-]', '_', case)[:40]}",
        "png",
        encode(figure, "png"),
        f"{where}: outlines of the reference and of {', '.join(preds)}",
        f"{on}{where}. Mean Dice over organs, methods and runs {rounded(dice)}; the slice in which most voxels are "
        f"wrong. Solid: reference, dashed: prediction of a single run of each method, {runs}.",
    )


def shown_window(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """An image as it is looked at: CT, which goes down to air, in a soft-tissue window; others without their extremes.

    Args:
        image: (H, W), intensities as on disk.

    Example:
        >>> shown_window(np.array([[-1000, 40, 3000]])).tolist()
        [[-160.0, 40.0, 240.0]]
    """
    values = image.astype(np.float32)
    low, high = (-160.0, 240.0) if values.min() < -500 else np.quantile(values, [0.01, 0.99])
    return np.clip(values, low, high)


def telling_slice(reference: NDArray[np.integer], preds: Sequence[NDArray[np.integer]]) -> int:
    """The slice in which the predictions err in the most voxels, over all of them.

    Args:
        reference: (S, H, W) class indices; ignored voxels do not count.
        preds: (S, H, W) of each method.

    Example:
        >>> reference = np.zeros((3, 4, 4), int)
        >>> reference[1:, :2] = 1
        >>> pred = reference.copy()
        >>> pred[2, 0] = 0
        >>> telling_slice(reference, [pred])
        2
    """
    wrong = sum(((each != reference) & labelled(reference)).sum(axis=(1, 2)) for each in preds)
    return int(np.argmax(wrong))
