"""Where the limit lies, in the networks or in the labels: how far predictions agree with each other and with these.

    python scripts/agreement.py LABELS FIRST SECOND --organs 1 2 -o agreement.json

Takes three folders of NIfTI files of the same names. Two networks that are unlike each other in kind and agree with
each other more than with the labels, and miss them on the same patients, have found what images say; what is left is
what labels say otherwise, or what no such training set shows. The better of both, patient by patient, is a choice that
only the labels can make: another network has to do better than that before it tells them apart.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import correlation, fmean
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray


def masks_of(file: Path, organs: Sequence[int]) -> NDArray[np.bool_]:
    """(organs, X, Y, Z) where a file has each organ."""
    return np.asanyarray(nib.load(file).dataobj) == np.array(organs).reshape(-1, 1, 1, 1)


def dice_of(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Mean Dice of the organs that one of both has."""
    both, either = (first & second).sum((1, 2, 3)), first.sum((1, 2, 3)) + second.sum((1, 2, 3))
    return float(np.mean(2 * both[either > 0] / either[either > 0]))


def compared(labels: Path, first: Path, second: Path, organs: Sequence[int]) -> dict[str, Any]:
    """Dice of both with the labels, of each with the other, and how alike patients fare.

    Args:
        labels: folder of `CASE.nii.gz`.
        first: folder of predictions of all of these.
        second: likewise.
        organs: class indices that count.
    """
    one, two, each_other = [], [], []
    for file in sorted(labels.glob("*.nii.gz")):
        target, its, others = (masks_of(folder / file.name, organs) for folder in (labels, first, second))
        one.append(dice_of(its, target))
        two.append(dice_of(others, target))
        each_other.append(dice_of(its, others))
    return {
        "patients": len(one),
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
    parser.add_argument("--organs", type=int, nargs="+", required=True, help="class indices that count, such as 1 2")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    text = json.dumps(compared(options.labels, options.first, options.second, options.organs), indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
