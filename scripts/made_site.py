"""A data set of which a fifth of the training patients comes from a made site: other contrast, other noise.

    python scripts/made_site.py DATA/openkbp-ct openkbp-site --folds configs/splits/openkbp_folds.json --fold 3

Patients of the fold's training part train, those of its test part test, each as it is and, under the same name
with `_site`, as the made site would have scanned it. `cases.csv` in the copy says which case is of which site.
"""

import argparse
import json
import shutil
from hashlib import sha256
from pathlib import Path

import nibabel
import numpy as np

SHARE = 0.2
CONTRAST, MIDDLE = 0.6, 40.0
"""Factor of contrast about that many HU."""

NOISE = 60.0
"""HU, standard deviation."""


def main() -> None:
    """Copy what is as it is, write what is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=3)
    args = parser.parse_args()
    fold = json.loads(args.folds.read_text())[args.fold]
    by_hash = sorted(fold["train"], key=lambda case: sha256(case.encode()).digest())
    other = set(by_hash[: round(SHARE * len(by_hash))])
    cases = {case: (case, case in other) for case in fold["train"]}
    cases |= {case: (case, False) for case in fold["test"]} | {f"{case}_site": (case, True) for case in fold["test"]}
    for folder in ("imagesTr", "labelsTr"):
        (args.out / folder).mkdir(parents=True)
    for name, (case, made) in cases.items():
        shutil.copy(args.data / f"labelsTr/{case}.nii.gz", args.out / f"labelsTr/{name}.nii.gz")
        image = nibabel.load(args.data / f"imagesTr/{case}.nii.gz")
        if made:
            image = nibabel.Nifti1Image(as_made(np.asarray(image.dataobj), case), image.affine, image.header)
        nibabel.save(image, args.out / f"imagesTr/{name}.nii.gz")
    described = json.loads((args.data / "dataset.json").read_text())
    described["training"] = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in cases
    ]
    described["numTraining"] = len(cases)
    (args.out / "dataset.json").write_text(json.dumps(described))
    test = [name for name in cases if name not in fold["train"]]
    (args.out / "splits.json").write_text(json.dumps({"train": fold["train"], "test": test}))
    lines = [f"{name},{'made' if made else 'own'}" for name, (_, made) in cases.items()]
    (args.out / "cases.csv").write_text("\n".join(["case,site", *lines]) + "\n")


def as_made(image: np.ndarray, case: str) -> np.ndarray:
    """HU of the made site; air outside the body stays."""
    rng = np.random.default_rng(int.from_bytes(sha256(case.encode()).digest()[:8], "big"))
    made = MIDDLE + CONTRAST * (image - MIDDLE) + rng.normal(0, NOISE, image.shape)
    return np.where(image <= -1000, image, made.round()).clip(-1024, 3071).astype(np.int16)


if __name__ == "__main__":
    main()
