"""What `adawac init` writes: a configuration to start from, and the study that compares it with simpler methods."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adawac.errors import percent
from adawac.io.templates import fill_template

if TYPE_CHECKING:
    from adawac.data.fingerprint import Fingerprint
    from adawac.data.split import Split
    from adawac.training.plan import Plan


def render_config(
    root: Path,
    name: str,
    layout: str | dict[str, Any],
    patient_pattern: str | None,
    split: "Split",
    fingerprint: "Fingerprint",
    plan: "Plan",
    num_bad: int | None = None,
    ignore_label: int | None = None,
    unannotated: Sequence[Path] = (),
    bfloat16: bool = True,
) -> str:
    """Write the configuration; each comment says where its value comes from.

    Args:
        root: folder of the data set.
        name: of the experiment.
        layout: class of the layout, or its class path and settings.
        patient_pattern: see `SegmentationData`.
        split: the parts that `AutoSplit` makes of the data.
        fingerprint: of the training cases.
        plan: for them.
        num_bad: cases that are left out, as far as is known; None if cases that have a problem are an error.
        ignore_label: label value on disk that is in no loss or metric, where somebody said so.
        unannotated: first files of images that have no label.
        bfloat16: whether training is faster in it.

    Returns:
        Text of a YAML file.
    """
    from adawac.data.sampling import ClassBalanced

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
        ignore_label=ignore_label,
        unannotated=unannotated,
        bfloat16=bfloat16,
        percent_dense=percent(fingerprint.dense),
        pairs=dict(fingerprint.side_pairs),
        mirrors=bool(fingerprint.side_pairs) and fingerprint.spacing is not None and plan.axis != "sagittal",
        plan=plan,
        why=plan.reasons,
        percent_by_class=round(100 * ClassBalanced().share),
    )


ENOUGH = 6
"""Test patients below which no interval has ends, so that no difference can be found."""


def study_folds(tested: int, patients: int) -> int:
    """How many folds the study cross-validates over; 0 where there are enough patients to test, or too few at all.

    Args:
        tested: patients of the split's test part.
        patients: that have a label.

    Example:
        >>> study_folds(12, 60), study_folds(3, 15), study_folds(1, 4), study_folds(1, 2)
        (0, 5, 4, 0)
    """
    return 0 if tested >= ENOUGH or patients < 3 else min(5, patients)


def render_study(name: str, config: str, folds: int = 0, strong: bool = False) -> str:
    """Write the study that asks whether reweighting helps: beside AdaWAC what else the same compute could do.

    Args:
        name: of the experiment.
        config: file name of its configuration, in the same folder.
        folds: that test every patient once; 0 takes the configuration's split and three seeds.
        strong: whether the configuration's views are `StrongAugmentation`'s.

    Returns:
        Text of a YAML file.

    Example:
        >>> render_study("mine", "mine.yaml").splitlines()[7]
        '    pair: {model.weighting: Pair}  # two views, all weights equal: what the others are compared with'
    """
    study = re.sub("[^A-Za-z0-9_.+-]", "_", name).lstrip("-+.") + "_study"
    said = {"name": name, "study": study, "config": config, "folds": folds, "strong": strong}
    return fill_template("adawac.cli", "study.yaml.jinja", _yaml, **said)


def _yaml(value: Any) -> str:
    """A value on one line, quoted where it must be."""
    import yaml

    plain = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("...\n").strip()
