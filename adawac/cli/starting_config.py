"""What `adawac init` writes: a configuration to start from, and the study that compares it with simpler methods."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adawac.io.templates import fill_template

if TYPE_CHECKING:
    from adawac.data.fingerprint import Fingerprint
    from adawac.data.split import Split

MULTIPLE, LARGEST = 32, 256
"""Sides of the training plane: every network can halve them five times; a CPU can train on them."""

BOTTLENECK = 8
"""Pixels along the deepest features: they see the whole plane and still tell where in it."""

CHANNELS = (16, 32, 64, 128, 256, 256)

BATCH_SIZE = 24
"""The paper's; less where an epoch would have fewer than ten steps."""

STEPS = 2500
"""What the number of epochs aims at, between 20 and 200 of them."""


def training_size(plane: Sequence[float]) -> tuple[int, int]:
    """Training plane for a median plane: its shape, in multiples of `MULTIPLE`, `LARGEST` at most.

    Args:
        plane: (H, W) pixels.

    Example:
        >>> training_size((512, 512)), training_size((256, 216)), training_size((90, 128))
        ((256, 256), (256, 224), (96, 128))
    """
    scale = min(1.0, LARGEST / max(plane))
    height, width = (max(MULTIPLE, MULTIPLE * round(side * scale / MULTIPLE)) for side in plane)
    return height, width


def network_depth(size: tuple[int, int]) -> int:
    """How often a plane is halved until its smaller side has about `BOTTLENECK` pixels.

    Example:
        >>> [network_depth((side, side)) for side in (32, 128, 224, 256)]
        [2, 4, 5, 5]
    """
    return round(math.log2(min(size) / BOTTLENECK))


def training_length(slices: int) -> tuple[int, int]:
    """Batch size and number of epochs for a number of training slices.

    Example:
        >>> training_length(2500), training_length(300), training_length(50)
        ((24, 20), (24, 190), (5, 200))
    """
    batch_size = min(BATCH_SIZE, max(2, slices // 10))
    steps = math.ceil(slices / batch_size)
    return batch_size, min(200, max(20, 10 * (STEPS // (10 * steps))))


def render_config(
    root: Path,
    name: str,
    layout: str | dict[str, Any],
    patient_pattern: str | None,
    split: "Split",
    fingerprint: "Fingerprint",
    num_bad: int | None = None,
) -> str:
    """Write the configuration; each comment says where its value comes from.

    Args:
        root: folder of the data set.
        name: of the experiment.
        layout: class of the layout, or its class path and settings.
        patient_pattern: see `SegmentationData`.
        split: the parts that `AutoSplit` makes of the data.
        fingerprint: of the training cases.
        num_bad: cases that are left out, as far as is known; None if cases that have a problem are an error.

    Returns:
        Text of a YAML file.
    """
    from adawac.data.sampling import ForegroundOversampling

    size = training_size(fingerprint.shape.median[1:])
    depth = network_depth(size)
    batch_size, epochs = training_length(fingerprint.num_slices)
    return fill_template(
        "adawac.cli",
        "config.yaml.jinja",
        _yaml,
        facts=fingerprint,
        root=root,
        name=name,
        layout=layout,
        patient_pattern=patient_pattern,
        split=split,
        num_bad=num_bad,
        percent_dense=round(100 * fingerprint.dense),
        pairs=dict(fingerprint.side_pairs),
        mirrors=bool(fingerprint.side_pairs) and fingerprint.spacing is not None,
        other_axis=_other_axis(fingerprint),
        oversampling_helps=fingerprint.dense < ForegroundOversampling().share,  # else plain shuffling draws as many
        size=size,
        multiple=MULTIPLE,
        largest=LARGEST,
        depth=depth,
        channels=CHANNELS[: depth + 1],
        batch_size=batch_size,
        epochs=epochs,
        steps=STEPS,
    )


def render_study(name: str, config: str) -> str:
    """Write the study that asks whether reweighting helps: beside AdaWAC what else the same compute could do.

    Args:
        name: of the experiment.
        config: file name of its configuration, in the same folder.

    Returns:
        Text of a YAML file.

    Example:
        >>> render_study("mine", "mine.yaml").splitlines()[7]
        '    pair: {model.weighting: Pair}  # two views, all weights equal: what the others are compared with'
    """
    study = re.sub("[^A-Za-z0-9_.+-]", "_", name).lstrip("-+.") + "_study"
    return fill_template("adawac.cli", "study.yaml.jinja", _yaml, name=name, study=study, config=config)


def _yaml(value: Any) -> str:
    """A value on one line, quoted where it must be."""
    import yaml

    plain = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("...\n").strip()


def _other_axis(f: "Fingerprint") -> str:
    """Said where voxels are longest in another direction, as in sagittal MR."""
    from adawac.data.preprocessing import AXES
    from adawac.data.recognition import scan_axis

    longest = None if f.spacing is None else scan_axis(f.spacing.median, [round(side) for side in f.shape.median])
    if not longest or f.spacing is None:
        return ""
    steps = f.spacing.median
    height, width = (f"{side:.4g}" for axis, side in enumerate(f.shape.median) if axis != longest)
    scanned = f"the slices are {AXES[longest]}, {height} x {width} pixels, {steps[longest]:.3g} mm apart"
    return f"but {scanned}: `axis: {AXES[longest]}` cuts them as they are; give `size` to match"
