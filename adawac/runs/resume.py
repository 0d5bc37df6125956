"""Whether a checkpoint may go on here: the same data, classes and network, or a refusal that names what differs."""

import json
from collections.abc import Mapping
from typing import Any

from adawac.data.unit_kinds import SINGLE_SLICE
from adawac.errors import ConfigError
from adawac.runs.checkpoint import RECIPE, Recipe
from adawac.runs.config_diff import changed
from adawac.runs.old_names import with_new_names

DATA = "adawac_data"
"""Key in a checkpoint of what it was trained on, in JSON."""

UNITS = "adawac_units_of_class"
"""Key in a checkpoint of how many slices or patches it was trained on hold each class, in JSON."""

MOST_LINES = 12
"""Differences shown; the rest is counted."""


def check_resumable(checkpoint: Mapping[str, Any], recipe: Recipe, data: Mapping[str, Any] | None) -> None:
    """Refuse to go on with, or to test, what a checkpoint does not belong to.

    Args:
        checkpoint: as read.
        recipe: of this run.
        data: what `SegmentationData.describe` says of this run; None where it does not matter, such as for a test.

    Raises:
        ConfigError: naming every difference, then and now.
    """
    differences = _in_recipe(
        with_new_names(json.loads(checkpoint[RECIPE])), json.loads(recipe.to_json()), training=data is not None
    )
    if data is not None and DATA in checkpoint:
        differences += _in_data(json.loads(checkpoint[DATA]), data, recipe.data.unit.noun[1])
    if not differences:
        return
    more = len(differences) - MOST_LINES
    lines = "\n  ".join(differences[:MOST_LINES] + [f"and {more} more"] * (more > 0))
    remedy = (
        "undo the change, or start anew from the checkpoint's weights alone with --model.init_from"
        if data is not None
        else "give the checkpoint of a run with these settings, or undo the change"
    )
    raise ConfigError(f"this checkpoint does not belong to this run; {remedy}:\n  {lines}")


def _in_recipe(then: dict[str, Any], now: dict[str, Any], training: bool) -> list[str]:
    """Differences of what the network is and does; of how images reach it only where it is trained on."""
    keys = ["in_channels", "classes", "network", "unit", *(["preprocessing", "mirror_table"] if training else [])]
    then = {"unit": SINGLE_SLICE.to_json(), **then}  # checkpoints of before were all of single slices
    found = changed(*({key: recipe[key] for key in keys} for recipe in (then, now)))
    said = {key: ["not set" if value is None else value for value in pair] for key, pair in found.items()}
    return [f"{key}: {was} then, {is_now} now" for key, (was, is_now) in said.items()]


def _in_data(then: Mapping[str, Any], now: Mapping[str, Any], units: str) -> list[str]:
    lines: list[str] = []
    for part in ("train", "val"):
        was, is_now = then[part], now[part]
        lines += [f"{part} case {case}: only then" for case in was if case not in is_now]
        lines += [f"{part} case {case}: only now" for case in is_now if case not in was]
        lines += [
            f"{part} case {case}: other voxels or labels than then"
            for case in was
            if case in is_now and was[case] != is_now[case]
        ]
    if lines:  # then the slices differ because the cases do
        return lines
    for case, slices in now["slices"].items():
        if slices != (was := then["slices"][case]):
            counts = f"{len(was)} then, {len(slices)} now" if len(was) != len(slices) else "as many as then, but others"
            lines.append(f"training {units} of case {case}: {counts}")
    return lines
