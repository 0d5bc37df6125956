"""The section of a report that shows every patient: values behind the means, pairs of methods, agreement of volumes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from adawac.evaluation import ANY_CLASS, MEAN_OF_CLASSES, CaseRow, SharedCases, voxel_volumes
from adawac.report import patient_figures
from adawac.report.blocks import Block
from adawac.report.charts import method_styles, picture
from adawac.report.contents import Contents, SubsetResult
from adawac.report.details import organ_name, subheading
from adawac.report.patient_figures import Patients
from adawac.report.wording import MINUS

Floats = NDArray[np.float64]

VOXELS = ("reference_voxels", "predicted_voxels")


def by_patient(report: Contents) -> Iterable[Block]:
    """Figures of each training subset."""
    for i, subset in enumerate(report.subsets):
        yield from subheading(report, subset)
        yield from _figures(report, subset, i)


def _figures(report: Contents, subset: SubsetResult, i: int) -> Iterable[Block]:
    view, rows = subset.view, subset.view.rows
    measured = {
        title: view.shared(metric, "all")
        for title, metric in (("Dice", "dice"), ("HD95, mm", "hd95_mm"), ("HD95, voxels", "hd95_voxel"))
        if len(view.having(metric, "all")) == len(rows)
    }
    values = {title: {name: _patients(shared, name) for name in shared.names} for title, shared in measured.items()}
    organs = [organ_name(name) for name in next(iter(measured.values())).names if name != ANY_CLASS]
    panels = {title: {organ_name(name): each for name, each in of.items()} for title, of in values.items()}
    styles = {
        method: style for method, style in method_styles(report.methods, report.reference).items() if method in rows
    }
    yield picture(
        f"patients_{i}",
        patient_figures.strips(panels, styles),
        f"{' and '.join(panels)} of every patient, of {', '.join(organs)}, by each method",
        "Small: a patient, mean over runs, and over the organs that it has. Large: the mean of the tables. Dice: to "
        f"the right is better; HD95, the distance of the surfaces: to the left. {report.policy_note}",
    )
    others = [method for method in rows if method != report.reference]
    if report.reference in rows and others:
        of_pairs = {
            title: {method: (of[MEAN_OF_CLASSES][report.reference], of[MEAN_OF_CLASSES][method]) for method in others}
            for title, of in values.items()
        }
        yield picture(
            f"pairs_{i}",
            patient_figures.pairs(of_pairs, report.reference, {title: title == "Dice" for title in of_pairs}),
            f"{' and '.join(of_pairs)} of every patient by {report.reference} and by {', '.join(others)}",
            f"A line a patient, mean of organs, from {report.reference} to the method. Solid blue: better; dashed "
            "orange: worse. Black: the mean.",
        )
    volumes = {method: found for method, each in rows.items() if (found := _volumes(each))}
    if volumes:
        yield picture(
            f"volumes_{i}",
            patient_figures.agreement(volumes),
            "Bland-Altman plot of the volumes of all organs, by each method",
            "Bland-Altman: a mark is an organ of a case, mean over runs, where reference or prediction holds it. "
            "Lines: mean difference, and 1.96 standard deviations to both sides. Above 0: too large; "
            f"{MINUS}200 %: missed.",
        )


def _patients(shared: SharedCases, name: str) -> dict[str, Patients]:
    """Method -> a value a patient, mean over runs, and the mean that stands in the tables."""
    found = shared.select(name)
    each = zip(shared.methods, found.own, found.means, strict=True)
    return {method: Patients(own.mean(axis=1), mean) for method, own, mean in each}


def _volumes(rows: Sequence[CaseRow]) -> list[tuple[Floats, Floats]]:
    """Volumes in the reference and as predicted, ml, of every organ of a case; empty where they are not known."""
    if (voxel := voxel_volumes(rows)) is None:
        return []
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: {metric: [] for metric in VOXELS})
    for row in rows:
        if row.group == "all" and row.metric in VOXELS and row.class_name != ANY_CLASS:
            found[row.class_name, row.case][row.metric].append(row.value * voxel[row.case] / 1000)
    both = [[fmean(values) for values in each.values()] for each in found.values() if all(each.values())]
    kept = np.array([pair for pair in both if sum(pair) > 0]).reshape(-1, 2)
    return [(kept[:, 0], kept[:, 1])] if len(kept) else []
