"""Whether a checkpoint may go on here: the same data, classes and network, or a refusal that names what differs."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adawac.data.unit_kinds import SINGLE_SLICE
from adawac.errors import ConfigError, one_line, some_of
from adawac.runs.checkpoint import RECIPE, Recipe
from adawac.runs.config_diff import changed
from adawac.runs.folder import run_of_checkpoint
from adawac.runs.old_names import with_new_names

log = logging.getLogger(__name__)

DATA = "adawac_data"
"""Key in a checkpoint of what it was trained on, in JSON."""

UNITS = "adawac_units_of_class"
"""Key in a checkpoint of how many slices or patches it was trained on hold each class, in JSON."""

SETTINGS = "adawac_settings"
"""Key in a checkpoint of the settings it was trained with, in JSON."""

MOST_LINES = 12
"""Differences shown; the rest is counted."""

FREE = (
    *("name", "runs", "resume", "ckpt_path", "config", "weights_only", "times", "pictures", "non_finite"),
    *("trainer.accelerator", "trainer.strategy", "trainer.devices", "trainer.num_nodes", "trainer.plugins"),
    *("trainer.logger", "trainer.enable_", "trainer.log_every_n_steps", "trainer.profiler", "trainer.barebones"),
    *("trainer.default_root_dir", "trainer.model_registry", "trainer.deterministic", "trainer.benchmark"),
    *("trainer.limit_val", "trainer.limit_test", "trainer.limit_predict", "trainer.num_sanity", "trainer.inference"),
    *("trainer.detect_anomaly", "trainer.fast_dev_run", "trainer.use_distributed_sampler"),
    *("model.compile", "model.cuda_graphs", "model.channels_last", "model.tf32", "model.predict_batch_size"),
    *("model.policy", "model.tolerances", "model.flip_left_right"),
    *("data.root", "data.layout", "data.store", "data.readers", "data.num_workers", "data.residency", "data.skip_bad"),
)
"""Settings that begin so say where and how fast it is trained, and what is shown: they may change without a word."""

SAME = (
    "model.network",
    *("data.split", "data.subset", "data.patient_pattern", "data.drop", "data.merge", "data.ignore_label"),
    *("data.mirror_pairs", "data.modality", "data.window", "data.axis", "data.size", "data.spacing", "data.body"),
    *("data.neighbours", "data.patch"),
)
"""Settings of which the checkpoint holds what they lead to, which is compared in their place."""

STATEFUL = ("model.weighting", "model.teacher", "model.optimizer.class_path", "data.sampling")
"""Settings of what has learnt something that means nothing to another: of these, numbers alone may change."""

CALLBACKS = "trainer.callbacks"

OF_THE_NETWORK = ("in_channels", "classes", "network", "unit")
"""Of a recipe: what the network is and does."""

OF_IMAGES = ("preprocessing", "mirror_table")
"""Of a recipe: how images reach the network."""

OF_AN_EPOCH = ("data.batch_size", "data.sampling", "seed_everything")
"""Settings that say which images an epoch's next batch holds: they may change between two epochs alone."""


def remembered(
    recipe: Recipe, data: Mapping[str, Any], units: Mapping[str, int] | None, settings: Mapping[str, Any] | None
) -> dict[str, str]:
    """What a checkpoint holds of how it was made: key -> plain JSON."""
    return {
        RECIPE: recipe.to_json(),
        DATA: json.dumps(data),
        UNITS: json.dumps(units),
        **({} if settings is None else {SETTINGS: json.dumps(settings)}),
    }


def chosen_components(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """`Recipe.largest_component` of a checkpoint; those of before chose none."""
    return tuple(json.loads(checkpoint[RECIPE]).get("largest_component", ()))


@contextmanager
def _read() -> Iterator[None]:
    """Say that a checkpoint is damaged, where what it holds makes no sense."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"what the checkpoint says of its training cannot be read ({one_line(error)}); take an earlier one, or "
            "start anew from its weights alone with --model.init_from"
        ) from error


@_read()
def check_resumable(
    checkpoint: Mapping[str, Any],
    recipe: Recipe,
    data: Mapping[str, Any] | None,
    settings: Mapping[str, Any] | None = None,
    path: str | None = None,
) -> None:
    """Refuse to go on with what a checkpoint does not belong to; say what is another from here on.

    Args:
        checkpoint: as read.
        recipe: of this run.
        data: what `SegmentationData.describe` says of this run; None before the data are prepared.
        settings: all of this run, see `settings_of`; None where they are not known.
        path: of the checkpoint; the run's own record counts where a checkpoint of before holds no settings.

    Raises:
        ConfigError: naming every difference, then and now.
    """
    if not checkpoint.get("optimizer_states") or "fit_loop" not in checkpoint["loops"]:
        raise ConfigError(
            "the checkpoint holds weights alone, with which --model.init_from starts anew: give one to go on from"
        )
    differences = _in_recipe(checkpoint, recipe, [*OF_THE_NETWORK, *OF_IMAGES])
    if DATA in checkpoint and data is not None:
        differences += _in_data(json.loads(checkpoint[DATA]), data, recipe.data.unit.noun[1])
    said: list[str] = []
    then = json.loads(checkpoint[SETTINGS]) if SETTINGS in checkpoint else _recorded(path)
    for key, was, is_now in _in_settings(then, settings or {}):
        reason = _refusal(key, was, is_now, _within_an_epoch(checkpoint))
        (said if reason is None else differences).append(_line(key, was, is_now) + (reason or ""))
    _refuse(differences, "undo the change, or start anew from the checkpoint's weights alone with --model.init_from")
    if said:
        log.info("from here on it is trained with other settings:\n  %s", "\n  ".join(said))


@_read()
def check_testable(
    checkpoint: Mapping[str, Any], recipe: Recipe, measured: Mapping[str, str], weighting: object, teacher: object
) -> tuple[str, ...]:
    """Refuse to measure a checkpoint as another method's; say what its numbers are of, if not of what it was made for.

    Args:
        checkpoint: as read.
        recipe: of this run.
        measured: case -> digest of voxels and labels, see `SegmentationData.digests`.
        weighting: of this run, which has numbers among the weights.
        teacher: likewise; None where it has none.

    Returns:
        How images reach the network otherwise than in training, a line a setting.

    Raises:
        ConfigError: naming every difference, then and now.
    """
    then = json.loads(checkpoint.get(SETTINGS, "{}")).get("model")  # not said by checkpoints of before
    now = {"weighting": type(weighting).__name__, "teacher": None if teacher is None else type(teacher).__name__}
    was = {name: (then.get(name) or {}).get("class_path") for name in now if then}
    _refuse(
        _in_recipe(checkpoint, recipe, OF_THE_NETWORK)
        + [_line(f"model.{name}", kind, now[name]) for name, kind in was.items() if kind != now[name]],
        "give the checkpoint of a run with these settings, or undo the change",
    )
    if lines := _in_recipe(checkpoint, recipe, OF_IMAGES):
        log.warning("the network is shown other images than it was trained on:\n  %s", "\n  ".join(lines))
    images = {digest.partition("-")[0] for digest in json.loads(checkpoint.get(DATA, "{}")).get("train", {}).values()}
    if known := [case for case, digest in measured.items() if digest.partition("-")[0] in images]:
        log.warning(
            f"{len(known)} of {len(measured)} cases are measured that the checkpoint was trained on ({some_of(known)})"
            ": that tells nothing of other patients"
        )
    return tuple(lines)


def _refuse(differences: Sequence[str], remedy: str) -> None:
    if differences:
        more = len(differences) - MOST_LINES
        lines = "\n  ".join([*differences[:MOST_LINES], *[f"and {more} more"] * (more > 0)])
        raise ConfigError(f"this checkpoint does not belong to this run; {remedy}:\n  {lines}")


def settings_of(config: Mapping[str, Any], parts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a training was set to that its result depends on: nested, without folders, which are not the checkpoint's.

    Args:
        config: all settings, nested.
        parts: dotted key -> class and arguments, of parts that the configuration may leave to the default.

    Example:
        >>> settings_of({"name": "a", "seed_everything": 1, "model": {"init_from": "/mine/a.ckpt"}})
        {'seed_everything': 1, 'model': {'init_from': 'a.ckpt'}}
        >>> settings_of({"model": {"weighting": None}}, {"model.weighting": {"class_path": "adawac.AdaWAC"}})
        {'model': {'weighting': {'class_path': 'AdaWAC'}}}
    """

    def kept(value: Any, key: str) -> Any:
        value = (parts or {}).get(key) if value is None else value
        if key == CALLBACKS:  # by their classes
            several = value if isinstance(value, list) else [value] if value else []
            value = {str(each["class_path"]).rpartition(".")[2]: each for each in several}
        if isinstance(value, Mapping):
            below = {str(name): (f"{key}.{name}" if key else str(name), inner) for name, inner in value.items()}
            return {name: kept(inner, dotted) for name, (dotted, inner) in below.items() if not dotted.startswith(FREE)}
        if isinstance(value, str) and key.endswith("class_path"):
            return value.rpartition(".")[2]
        return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value

    return dict(kept(json.loads(json.dumps(config, default=str)), ""))


def _recorded(path: str | None) -> dict[str, Any]:
    """The settings that the run of a checkpoint records; none where it records none."""
    return settings_of(with_new_names(dict(run_of_checkpoint(Path(path)).config))) if path else {}


def _in_settings(then: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, what was set and what is, wherever both say something and that is not the same."""
    if key in SAME or then == now:
        return
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in {**then, **now}:
            if key == CALLBACKS or (name in then and name in now):  # else a key that one version does not know
                yield from _in_settings(then.get(name), now.get(name), f"{key}.{name}" if key else name)
    else:
        yield key, then, now


def _refusal(key: str, then: Any, now: Any, within_an_epoch: bool) -> str | None:
    """Why a setting may not change, to be put behind it, or nothing to be said; None where it may."""
    if key.startswith(STATEFUL) and not (_number(then) and _number(now)):
        return ""
    if key == "model.init_from" and now is not None:
        return " (the weights are the checkpoint's)"
    if within_an_epoch and key.startswith(OF_AN_EPOCH):
        return " (in the middle of an epoch, which must end as it began)"
    return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within_an_epoch(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint was written between two batches of one epoch."""
    batches = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_loop.batch_progress", {})
    return not batches.get("is_last_batch", True)


def _said(value: Any) -> str:
    """A setting in a line; of a part, its class."""
    if isinstance(value, Mapping) and "class_path" in value:
        return str(value["class_path"])
    return "not set" if value is None else str(value)


def _line(key: str, then: Any, now: Any) -> str:
    return f"{key}: {_said(then)} then, {_said(now)} now"


def _in_recipe(checkpoint: Mapping[str, Any], recipe: Recipe, keys: Iterable[str]) -> list[str]:
    now = json.loads(recipe.to_json())
    then = {"unit": SINGLE_SLICE.to_json(), **with_new_names(json.loads(checkpoint[RECIPE]))}  # older: of single slices
    found = changed(*({key: each[key] for key in keys} for each in (then, now)))
    return [_line(key, was, is_now) for key, (was, is_now) in found.items()]


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
