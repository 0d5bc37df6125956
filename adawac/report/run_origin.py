"""How a run came to be, as its record and its files say it: for the last chapter of a report."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adawac.evaluation import CaseRow
from adawac.runs.checkpoint import epoch_of
from adawac.runs.config_diff import flatten
from adawac.runs.folder import RunFolder


def annotated_of(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Training slices with a label, and without any."""
    names = ("label_dense", "label_sparse", "wholly_ignored")
    if any(record.get(name) is None for name in names):
        return None
    dense, sparse, ignored = (record[name] for name in names)
    return dense + sparse, ignored


OF_A_PASS = (
    "model.network.architecture", "model.network.arguments", "data.size", "data.spacing", "data.patch",
    "data.neighbours",
)  # fmt: skip
"""Settings that say what a network pass costs, with what lies within them."""


def pass_of(folder: RunFolder) -> dict[str, str]:
    """What a network pass of a run is of: of other networks and sizes as many passes are no equal compute."""
    return {key: str(value) for key, value in flatten(folder.config).items() if key.startswith(OF_A_PASS)}


def made_of(path: Path, rows: Sequence[CaseRow], folder: RunFolder | None = None) -> dict[str, str]:
    """Where a run lies, what is recorded of its making, and after how many of its epochs what is measured was saved."""
    first = rows[0] if rows else None
    record = {} if folder is None else folder.record
    parts = [*record.get("earlier", []), record]  # of a run that went on, perhaps elsewhere
    facts = {
        "checkpoint": first.checkpoint_hash if first else "",
        "config": first.config_hash if first else "",
        "predicted with": first.predicted_with if first else "",
        "device": _in_turn(part.get("device") for part in parts),
        "torch": _in_turn((part.get("versions") or {}).get("torch") for part in parts),
        "from": str(path),
        "epochs": record.get("epochs"),
        "steps": record.get("steps"),
        "measured after epoch": epoch_of(folder.checkpoint) if folder is not None and folder.checkpoints else None,
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _in_turn(values: Iterable[str | None]) -> str:
    """All that differ, in their order."""
    return ", then ".join(dict.fromkeys(value for value in values if value))
