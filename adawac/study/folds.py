"""Cross-validation: a study whose folds test different patients, settings compared over the folds."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from scipy import stats

from adawac.errors import ConfigError, DataError, counted, did_you_mean, rounded, together
from adawac.evaluation import MEAN_OF_CLASSES, TRAINING_UNITS, CaseRow, SharedCases, lost_classes, read_csv
from adawac.evaluation.summary import predicted_how
from adawac.io.atomic import write_text
from adawac.report.compute import more_or_fewer
from adawac.report.contents import choose_reference
from adawac.report.shown_patients import choose_patients
from adawac.report.wording import interval, signed
from adawac.study.results import tested
from adawac.study.spec import FOLD, Study

Dice = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Setting -> fold -> patient -> score, over seeds: its mean over a fold's patients is the mean Dice of the organs.

Of a patient who has all organs that count it is the mean over them; see `adawac.evaluation.pairing.Selection`.
"""


def is_cross_validation(study: Study) -> bool:
    """Whether the finished folds test different patients; folds that share their test set are like seeds."""
    cases: dict[str, set[str]] = {}
    for cell in study.cells:
        if FOLD in cell.options and cell.state == "finished" and cell.options[FOLD] not in cases:
            cases[cell.options[FOLD]] = {row.case for row in read_csv(cell.run.cases_file)}
    return len(cases) > 1 and not set.intersection(*cases.values())


def dice_of_folds(study: Study) -> tuple[Dice, list[str]]:
    """What each patient got in the fold that tests them, over the pairs of organ and case that count in all settings.

    Returns:
        The settings of which all cells have finished; names of the others. Patients are those that the case tables
        record, or else that the names of the cases suggest.

    Raises:
        DataError: if the settings of a fold were tested on different cases or with different policies, or no organ
            counts in all of them.
    """
    names = {cell.name: "-".join(cell.settings.values()) for cell in study.cells}
    left_out = list(dict.fromkeys(names[cell.name] for cell in study.cells if cell.state != "finished"))
    folds: dict[str, dict[str, list[CaseRow]]] = {}
    for cell in study.cells:
        if names[cell.name] not in left_out:
            folds.setdefault(cell.options[FOLD], {}).setdefault(names[cell.name], []).extend(tested(cell))
    recorded = {row.case: row.patient for of in folds.values() for rows in of.values() for row in rows}
    whom, _ = choose_patients(list(recorded), recorded)
    folds = {
        fold: {setting: [row._replace(patient=whom[row.case]) for row in rows] for setting, rows in of.items()}
        for fold, of in folds.items()
    }
    trained = [row for of in folds.values() for rows in of.values() for row in rows if row.metric == TRAINING_UNITS]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for fold, settings in folds.items():
        lost = lost_classes([*(row for rows in settings.values() for row in rows), *trained])
        chosen = SharedCases.of(settings, "dice", "all", lost).select(MEAN_OF_CLASSES)
        if not chosen.patients:
            raise DataError(f"fold {fold}: no organ counts in all settings; see `Left out of the means` of its cells")
        for setting, scores in zip(settings, chosen.scores, strict=True):
            found.setdefault(setting, {})[fold] = dict(zip(chosen.patients, scores.mean(axis=1).tolist(), strict=True))
    return found, left_out


def fold_table(dice: Dice, reference: str | None = None, left_out: list[str] | None = None) -> str:
    """Markdown: a line a setting, the best first, and its difference from the reference; means over the folds.

    The interval is Student's over the folds, not over the patients: the patients of a fold share one training of
    either setting, and how trainings differ is most of what there is to know. Folds share training patients, so that
    it is a little short all the same, and the best of many is flattered: that is why a test set waits.

    Args:
        dice: of each setting, all of the same folds.
        reference: setting to compare with; None: pair, erm or the first, as in a report.
        left_out: settings that are not finished.

    Raises:
        ConfigError: there is no such setting, or none at all.

    Example:
        >>> print(fold_table({"pair": {"0": {"a": 0.5}, "1": {"b": 0.6}}, "erm": {"0": {"a": 0.6}, "1": {"b": 0.8}}}))
        | setting | Dice, 2 patients | minus pair | 95 % interval over 2 folds |
        |---|---:|---:|---|
        | erm | 0.700 | +0.150 | −0.485 to +0.785 |
        | pair | 0.550 |  |  |
    """
    if not dice or (reference is not None and reference not in dice):
        known = f"those with all folds are {', '.join(dice)}" if dice else "none has finished all its folds"
        raise ConfigError(f"no setting {reference or ''} to compare with{did_you_mean(reference or '', dice)} {known}")
    reference = reference or choose_reference(list(dice))
    folds = dice[reference]
    patients = counted(len({patient for of in folds.values() for patient in of}), "patient")
    over = f"95 % interval over {counted(len(folds), 'fold')}"
    means = {name: fmean(fmean(of.values()) for of in each.values()) for name, each in dice.items()}
    lines = [
        f"| setting | Dice, {patients} | minus {reference} | {over} |",
        "|---|---:|---:|---|",
    ]
    for name in sorted(dice, key=lambda name: -means[name]):
        if name == reference:
            lines.append(f"| {name} | {rounded(means[name])} |  |  |")
            continue
        gains = [fmean(dice[name][fold][p] - of[p] for p in of.keys() & dice[name][fold]) for fold, of in folds.items()]
        mean, ends = fmean(gains), ""
        if len(gains) > 1:
            reach = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
            ends = interval(max(mean - reach, -1.0), min(mean + reach, 1.0), sign=True)
        lines.append(f"| {name} | {rounded(means[name])} | {signed(mean)} | {ends} |")
    if left_out:
        lines += ["", f"Not run to the end: {', '.join(left_out)}."]
    return "\n".join(lines)


def compare_folds(study: Study, reference: str | None = None) -> tuple[str, Path]:
    """Write `folds.md` and `folds.json` into the study's folder.

    Returns:
        The table, and its file.

    Raises:
        ConfigError: see `fold_table`.
        DataError: see `dice_of_folds`.
    """
    dice, left_out = dice_of_folds(study)
    table = fold_table(dice, reference, left_out)
    if others := len(dice) - 1:
        table += (
            "\n\nDice: mean of the folds' means. "
            f"Intervals are not corrected for the number of settings: if all were equal, about {0.05 * others:.2g} "
            f"of {others} would exclude 0 by chance, and more than that as folds share training patients."
        )
    cells = together((name, cell) for cell in study.cells if (name := "-".join(cell.settings.values())) in dice)
    rows = {name: [row for cell in its for row in read_csv(cell.run.cases_file)] for name, its in cells.items()}
    passes = {name: fmean(cell.run.record.get("network_passes") or 0 for cell in its) for name, its in cells.items()}
    if unequal := more_or_fewer([passes], reference or choose_reference(list(dice))):
        table += f"\n\n{unequal}"
    if len({row.predicted_with for of in rows.values() for row in of} - {""}) > 1:
        table += f"\n\nPredictions were not made alike: {predicted_how(rows)}."
    path = study.folder / "folds.md"
    for file, text in {path.with_suffix(".json"): json.dumps(dice, indent=1), path: table}.items():
        write_text(file, text + "\n")
    return table, path
