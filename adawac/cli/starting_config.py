"""What `adawac init` writes: a configuration to start from, and the study that compares it with simpler methods."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adawac.data.case_names import AUTO

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
    f = fingerprint
    size = training_size(f.shape.median[1:])
    depth = network_depth(size)
    batch_size, epochs = training_length(f.num_slices)
    mirrors = bool(f.side_pairs) and f.spacing is not None
    classes = ", ".join(c.name for c in f.classes)
    share = f"{100 * f.dense:.0f} % of"
    dense = f"{f.ignored} of them wholly ignored, {share} the others" if f.ignored else f"{share} them"
    return f"""\
# {_plain(root.name)}: {f.num_cases} training cases, {f.num_slices} slices, {dense} label-dense.
# Written by `adawac init` from these alone; each value can be changed here, or for one run on the command line.
name: {_yaml(name)}
seed_everything: 1234
trainer:
  max_epochs: {epochs}  # about {STEPS} steps, 20 to 200 epochs
  check_val_every_n_epoch: {max(1, epochs // 10)}  # whole validation volumes, ten times a run
  precision: bf16-mixed  # CPU and CUDA; losses and weights stay in float32. Without: 32-true
data:
  root: {_yaml(str(root))}
  layout: {_yaml(layout)}{_skipping(num_bad)}
  split: AutoSplit  # splits.json, else the folder's own parts (val drawn if they lack it), else drawn: {_parts(split)}
  patient_pattern: {_yaml(patient_pattern)}  # {_patients(patient_pattern, split.train[0])}
  drop: []  # names to turn into background, out of: {_plain(classes)}
  mirror_pairs: {_yaml(dict(f.side_pairs) if mirrors else None)}  # {_pairs(f)}
{_intensities(f)}
  axis: axial{_axis(f)}
  size: {_yaml(list(size))}  # {_plane(f)}; in multiples of {MULTIPLE}, {LARGEST} at most
  body: {_yaml(f.modality == "ct")}  # crop to the box around the body first; only for CT, whose air is dark
  batch_size: {batch_size}  # the paper's 24, less where an epoch would have fewer than ten steps
  sampling: null  # every slice once an epoch; ForegroundOversampling {_foreground(f.dense)}
model:
  network:
    architecture: monai.networks.nets.UNet
    arguments:  # halved {depth} times, to deepest features of {size[0] >> depth} x {size[1] >> depth} pixels
      channels: {_yaml(list(CHANNELS[: depth + 1]))}
      strides: {_yaml([2] * depth)}
      num_res_units: 2
      norm: INSTANCE
      act: [LEAKYRELU, {{negative_slope: 0.25}}]  # where PReLU starts, at less cost
  weighting: AdaWAC  # to compare with: Pair (the same two views, all weights equal) or ERM (one view)
  augmentation:
    class_path: RandomAugmentation
    init_args: {{mirror_left_right: {0.5 if mirrors else 0.0}}}  # above 0 only with mirror_pairs
  optimizer:
    class_path: torch.optim.AdamW
    init_args: {{lr: 0.002, weight_decay: 0.0001}}
  schedule: Poly  # down to 0 over the run
  dice_ratio: 0.5  # the paper's
  compile: false  # true: faster steps on a CPU, once minutes have gone into compiling
"""


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
    return f"""\
# Does reweighting help on {_plain(name)}? Four methods, three seeds: twelve trainings on the same data, and one report.
# Written by `adawac init`; `adawac study` with --dry-run lists the trainings, with --jobs 2 it runs two at a time.
# What was stopped goes on when the same is typed again. Any key of the configuration may stand here, too.
name: {re.sub("[^A-Za-z0-9_.+-]", "_", name).lstrip("-+.")}_study
config: {_yaml(config)}
grid:
  method:
    pair: {{model.weighting: Pair}}  # two views, all weights equal: what the others are compared with
    adawac: {{}}  # as {_plain(config)} says
    erm_twice: {{model.weighting: ERM, times: 2}}  # one view for twice its epochs: as much compute
    foreground: {{model.weighting: Pair, data.sampling: ForegroundOversampling}}  # slices with labels shown more often
  seed: [0, 1, 2]
"""


def _yaml(value: Any) -> str:
    """A value on one line, quoted where it must be."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("...\n").strip()


def _plain(text: str) -> str:
    """Text that stays in its comment: without line breaks."""
    return " ".join(text.split())


def _skipping(num_bad: int | None) -> str:
    if num_bad is None:
        return ""
    said = f"leaves out cases that have a problem: {num_bad} found, for those held out see `adawac check`"
    return f"\n  skip_bad: true  # {said}"


def _parts(split: "Split") -> str:
    counts = f"{len(split.train)} train, {len(split.val)} val, {len(split.test)} test"
    return counts if split.val else f"{counts}; without val, the last checkpoint is the only one"


def _patients(pattern: str | None, case: str) -> str:
    if pattern is None:
        return "every case is a patient of its own"
    if pattern == AUTO:
        return "every case is a patient of its own, as far as names (and PatientIDs of DICOM) tell"
    return _plain(f"the group is the patient of a case such as {case}")


def _pairs(f: "Fingerprint") -> str:
    if not f.side_pairs:
        return "no class names that differ in left and right alone"
    if f.spacing is None:
        return _plain(f"{_yaml(dict(f.side_pairs))} if left and right are the ends of a row; the files do not say")
    return "swapped where a view mirrors the patient; found by name"


def _intensities(f: "Fingerprint") -> str:
    if f.window is None:
        of_mr = "no Hounsfield units: normalised per volume"
        return f"  modality: {f.modality}  # {'0 to 1: left alone' if f.modality == 'unit' else of_mr}"
    return (
        f"  modality: ct\n  window: {_yaml(list(f.window))}  "
        "# HU; the 5th to 95th percentile of a typical class, and 100 on both sides"
    )


def _foreground(dense: float) -> str:
    from adawac.data.sampling import ForegroundOversampling

    share = f"{100 * dense:.0f} % are label-dense"
    if dense < ForegroundOversampling().share:  # else plain shuffling draws as many
        return f"shows those with labels more often, which pays where as few as here: {share}"
    return f"changes little here: {share}"


def _axis(f: "Fingerprint") -> str:
    """Said where voxels are longest in another direction, as in sagittal MR."""
    from adawac.data.preprocessing import AXES

    steps = (0.0,) if f.spacing is None else f.spacing.median
    longest = max(range(len(steps)), key=steps.__getitem__)
    if steps[longest] <= 1.5 * steps[0]:
        return ""
    height, width = (f"{side:.4g}" for axis, side in enumerate(f.shape.median) if axis != longest)
    scanned = f"the slices are {AXES[longest]}, {height} x {width} pixels, {steps[longest]:.3g} mm apart"
    return f"  # but {scanned}: `axis: {AXES[longest]}` cuts them as they are; give `size` to match"


def _plane(f: "Fingerprint") -> str:
    height, width = f.shape.median[1:]
    known = "" if f.spacing is None else f" at {f.spacing.median[1]:.3g} x {f.spacing.median[2]:.3g} mm"
    return f"median plane {height:.4g} x {width:.4g}{known}"
