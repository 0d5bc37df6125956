"""Where the limit lies, in the networks or in the labels: how far predictions agree with each other and with these.

    python scripts/agreement.py LABELS FIRST SECOND -o agreement.json

Takes three folders of NIfTI files of the same names. Two networks that are unlike each other in kind and agree with
each other more than with the labels, and miss them on the same patients, have found what images say; what is left is
what labels say otherwise, or what no such training set shows. The better of both, patient by patient, is a choice that
only the labels can make: another network has to do better than that before it tells them apart.
"""

import argparse
import json
from pathlib import Path
from statistics import correlation, fmean

import nibabel as nib
import numpy as np
import torch

from adawac.metrics import volume_dice


def dice_of(preds: Path, target: Path, classes: int) -> float:
    """Mean Dice of the organs of one patient."""
    first, second = (
        torch.from_numpy(np.asanyarray(nib.load(path).dataobj).astype(np.int64)) for path in (preds, target)
    )
    return float(volume_dice(first, second, classes).nanmean())


def compared(labels: Path, first: Path, second: Path) -> dict[str, float]:
    """Dice of both with the labels, of each with the other, and how alike patients fare.

    Args:
        labels: folder of `CASE.nii.gz`, classes from 0 on.
        first: folder of predictions of all of these.
        second: likewise.
    """
    files = sorted(labels.glob("*.nii.gz"))
    classes = 1 + max(int(np.asanyarray(nib.load(file).dataobj).max()) for file in files)
    one, two, each_other = (
        [dice_of(preds / file.name, target / file.name, classes) for file in files]
        for preds, target in ((first, labels), (second, labels), (first, second))
    )
    return {
        "patients": len(files),
        "first": fmean(one),
        "second": fmean(two),
        "each_other": fmean(each_other),
        "better_of_both": fmean(map(max, one, two)),
        "correlation": correlation(one, two),
    }


def main() -> None:
    """Write the comparison of three folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("labels", "first", "second"):
        parser.add_argument(name, type=Path)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    text = json.dumps(compared(options.labels, options.first, options.second), indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
