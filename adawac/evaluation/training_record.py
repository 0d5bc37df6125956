"""What a run was trained on, as rows of its case table: which classes it could learn goes wherever the table goes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from adawac.errors import ConfigError, DataError
from adawac.evaluation.case_table import ANY_CLASS, TRAINING_UNITS, CaseRow, MadeBy
from adawac.evaluation.table_files import read_csv
from adawac.io.hashing import short_hash
from adawac.runs.folder import RunFolder


def training_rows(rows: Sequence[CaseRow], units: Mapping[str, int] | None) -> list[CaseRow]:
    """Rows of the case table that say what the run was trained on, for each class of each case.

    Args:
        rows: the case table of one run.
        units: class -> slices or patches that it was trained on and that hold the class; None where not known.

    Returns:
        What is to be added; nothing where nothing is known, or where the table has such rows already.
    """
    if not units or any(row.metric == TRAINING_UNITS for row in rows):
        return []
    return [
        row._replace(metric=TRAINING_UNITS, value=float(units[row.class_name]))
        for row in rows
        if (row.group, row.metric) == ("all", "dice") and row.class_name != ANY_CLASS and row.class_name in units
    ]


def predicted_with(
    precision: str, flip_left_right: bool = False, largest_component: bool = False, otherwise: Sequence[str] = ()
) -> str:
    """What of a prediction two tables of one checkpoint may differ in, in words for each row of the case table.

    Args:
        precision: of the network, such as "32-true".
        flip_left_right: whether predictions are averaged with those of mirrored slices.
        largest_component: whether the largest part alone is kept of the classes that the checkpoint chose.
        otherwise: how images reached the network otherwise than in training, a line a setting.

    Example:
        >>> predicted_with("32-true", largest_component=True)
        'precision 32-true, largest_component'
    """
    flags = {"flip_left_right": flip_left_right, "largest_component": largest_component}
    return ", ".join([f"precision {precision}", *(name for name, on in flags.items() if on), *otherwise])


def predicted_with_of(record: Mapping[str, Any]) -> str:
    """The same of a folder that `adawac predict` filled, see `prediction_folder.recorded`; "" of what others filled."""
    try:
        settings = record["settings"]
        precision = {"float32": "32-true", "bfloat16": "bf16-mixed"}[settings["precision"]]
        return predicted_with(precision, bool(settings["flip"]), bool(settings["largest_component"]))
    except (LookupError, TypeError):
        return ""


class Settings(NamedTuple):
    """Of a prediction, as `predicted_with` said them.

    Attributes:
        flip_left_right: whether predictions are averaged with those of mirrored slices.
        largest_component: whether the largest part alone is kept of the classes that the checkpoint chose.
        otherwise: what else was other than in training, and cannot be done again from these words; empty for nothing.
    """

    flip_left_right: bool
    largest_component: bool
    otherwise: str

    @classmethod
    def read(cls, said: str) -> "Settings":
        """Inverse of `predicted_with`, but for the precision, which is the device's.

        Example:
            >>> Settings.read("precision 32-true, largest_component, data.window 1, 2 then 3, 4")
            Settings(flip_left_right=False, largest_component=True, otherwise='data.window 1, 2 then 3, 4')
        """
        precision, *words = said.split(", ")
        flips, cleans = (name in words for name in ("flip_left_right", "largest_component"))
        others = words[flips + cleans :]
        return cls(flips, cleans, ", ".join(others if precision.startswith("precision ") else [precision, *others]))


def made_by(
    run: RunFolder, method: str, checkpoint: Path | None, predicted: str, units: Mapping[str, int] | None = None
) -> MadeBy:
    """What is known of a run before its checkpoint predicts.

    Args:
        run: its folder.
        method: name of the method.
        checkpoint: that predicts; None for weights that lie in no file.
        predicted: settings of the prediction, see `predicted_with`.
        units: class -> slices or patches that it was trained on; None: those of its record.
    """
    of_checkpoint, of_config = short_hash([checkpoint] if checkpoint else []), short_hash([run.config_file])
    return MadeBy(run.experiment, method, of_checkpoint, of_config, units or _recorded_units(run), predicted)


def _recorded_units(run: RunFolder) -> dict[str, int] | None:
    """Class -> units that a run was trained on and that hold it, as its record says; None where it does not."""
    try:
        found = run.record["units_of_class"]
        return {str(name): int(count) for name, count in found.items()}
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_run(run: RunFolder) -> list[CaseRow]:
    """The case table of a run folder, with what the run was trained on, which older tables leave to the run's record.

    Raises:
        DataError: if the run has no case table, or one of another checkpoint than its present best.
    """
    if (stale := run.stale_cases) is not None:
        raise DataError(stale)
    rows = read_csv(run.cases_file)
    return [*rows, *training_rows(rows, _recorded_units(run))]
