"""The made site of `scripts/made_site.py`: who comes from it, and what it does to a scan."""

import csv
import json
import sys

import made_site
import nibabel
import numpy as np
import pytest

TRAIN, TEST = [f"pt_{number}" for number in range(10, 20)], ["pt_20", "pt_21"]


@pytest.fixture
def made(tmp_path, monkeypatch):
    data, out = tmp_path / "data", tmp_path / "site"
    for folder in ("imagesTr", "labelsTr"):
        (data / folder).mkdir(parents=True)
    image = np.full((24, 24, 12), 240, np.int16)
    image[:4] = -1000
    for case in [*TRAIN, *TEST]:
        nibabel.save(nibabel.Nifti1Image(image, np.diag([2, 2, 3, 1])), data / f"imagesTr/{case}.nii.gz")
        nibabel.save(nibabel.Nifti1Image((image > 0).astype(np.uint8), np.eye(4)), data / f"labelsTr/{case}.nii.gz")
    (data / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "organ"}}))
    (tmp_path / "folds.json").write_text(json.dumps([{"train": TRAIN, "test": TEST}]))
    arguments = ["made_site", str(data), str(out), "--folds", str(tmp_path / "folds.json"), "--fold", "0"]
    monkeypatch.setattr(sys, "argv", arguments)
    made_site.main()
    return data, out


def test_a_fifth_of_training_and_each_test_patient_once_more_are_of_the_site(made):
    data, out = made
    sites = {line["case"]: line["site"] for line in csv.DictReader((out / "cases.csv").open())}
    assert sites.keys() == {*TRAIN, *TEST, *(f"{case}_site" for case in TEST)}
    assert sum(sites[case] == "made" for case in TRAIN) == 2
    assert [sites[case] for case in (*TEST, "pt_20_site", "pt_21_site")] == ["own", "own", "made", "made"]
    assert json.loads((out / "splits.json").read_text()) == {"train": TRAIN, "test": [c for c in sites if c[3] == "2"]}
    for case, site in sites.items():
        scan = nibabel.load(out / f"imagesTr/{case}.nii.gz")
        own = nibabel.load(data / f"imagesTr/{case.removesuffix('_site')}.nii.gz")
        assert np.array_equal(scan.affine, own.affine)
        assert np.array_equal(scan.get_fdata(), own.get_fdata()) == (site == "own")


def test_the_site_has_less_contrast_and_more_noise_and_leaves_air_alone(made):
    scan = nibabel.load(made[1] / "imagesTr/pt_20_site.nii.gz").get_fdata()
    assert set(np.unique(scan[:4])) == {-1000}
    inside = scan[4:]
    assert inside.mean() == pytest.approx(40 + 0.6 * 200, abs=3)
    assert inside.std() == pytest.approx(60, rel=0.05)
