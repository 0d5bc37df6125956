"""Runs of a report: two methods on eight patients, one better than the other."""

from adawac.evaluation import ANY_CLASS, CaseRow
from adawac.report.contents import Contents, subset_results
from adawac.report.document import document
from adawac.report.runs import MethodRun

CASES = [f"ct_{i}" for i in range(8)]


def rows_of(dice, cases=CASES, organs=("liver", "spleen")):
    """A case table: Dice of each case, the same for both organs; the spleen of the first case is absent."""
    rows = []
    for i, (case, value) in enumerate(zip(cases, dice, strict=True)):
        row = CaseRow("0", "", case, case, "", "all", "dice", value, "penalise")
        for organ in organs:
            row = row._replace(class_name=organ)
            voxels = 0 if (i, organ) == (0, "spleen") else 100 * (i + 1)
            rows += [
                row,
                row._replace(group="dense"),
                row._replace(metric="reference_voxels", value=voxels),
                row._replace(metric="missed", value=float(voxels > 0 and value == 0)),
                row._replace(metric="false_alarm", value=float(voxels == 0)),
                row._replace(metric="hd95_mm", value=10 * (1 - value)),
            ]
            for place in range(1, 6):  # the ends of the volume are empty, and that is worth a Dice of 1
                position = row._replace(group=f"position {place} of 5")
                rows.append(position if place in (2, 3, 4) else position._replace(value=1.0))
                rows.append(position._replace(metric="reference_voxels", value=float(100 * (place in (2, 3, 4)))))
        sparse = row._replace(class_name=ANY_CLASS, group="sparse")
        rows += [
            sparse._replace(metric="slices", value=10.0),
            sparse._replace(metric="false_positive_slices", value=2.0),
            sparse._replace(metric="false_positive_voxels", value=6.0),
        ]
    return rows


WORSE = [0.80, 0.74, 0.9, 0.62, 0.71, 0.85, 0.69, 0.78]


BETTER = [value + 0.05 + 0.002 * i for i, value in enumerate(WORSE)]


def run(method, dice, subset="full", name=None, **kwargs):
    return MethodRun(method, subset, name or f"{method}-{subset}", rows_of(dice), **kwargs)


def seeds(method, dice, subset="full", apart=0.0):
    """Two runs, which differ in Dice by so much."""
    return [
        run(method, [value + sign * apart / 2 for value in dice], subset, f"{method}-{subset}-{sign}")
        for sign in (-1, 1)
    ]


def report_of(*runs, policy="penalise"):
    return Contents(title="t", reference="pair", runs=runs, subsets=subset_results(runs, "pair"), policy=policy)


def text_of(report, title):
    """All words of a chapter."""
    [section] = [section for section in document(report).sections if section.title == title]
    return " ".join(
        [block.text for block in section.blocks if hasattr(block, "text")]
        + [cell for block in section.blocks for line in getattr(block, "lines", ()) for cell in line]
    )


def few(method, dice, patients):
    return [MethodRun(method, "full", f"{method} {i}", rows_of(dice[:patients], CASES[:patients])) for i in range(2)]
