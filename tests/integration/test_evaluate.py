"""`adawac evaluate` on predictions that this project did not write, and on runs."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tiny_data import make_case

from adawac.cli import main
from adawac.io.locking import LockedError, locked
from adawac.io.volumes import read_nifti

pytestmark = pytest.mark.usefixtures("undrawn")

CASES = [f"pt_{i}" for i in range(1, 8)]
LABELS = {"background": 0, "left kidney": 1, "right kidney": 2}


def save(path: Path, canonical, affine=None, header=nib.Nifti1Image) -> None:
    """As nnU-Net does: RAS files, whatever this package would write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([0.8, 0.9, 3.0, 1.0]) if affine is None else affine
    array = canonical[:, ::-1, ::-1].transpose(2, 1, 0)  # (Z, Y, X) to posterior-left: to right, anterior, superior
    nib.save(header(np.ascontiguousarray(array), affine), path)


def worse(rng, label, share):
    """A prediction that misses a share of the foreground, and finds some where there is none."""
    preds = label.copy()
    preds[(label > 0) & (rng.random(label.shape) < share)] = 0
    preds[0, 1:3, 1:3] = 1
    return preds


@pytest.fixture
def place(tmp_path):
    """References and images as nnU-Net has them, predictions of two tools."""
    rng = np.random.default_rng(0)
    for case in CASES:
        image, label = make_case(rng, (10, 24, 20))
        save(tmp_path / f"imagesTs/{case}_0000.nii.gz", image[0])
        save(tmp_path / f"labelsTs/{case}.nii.gz", label)
        save(tmp_path / f"nnUNet/{case}.nii.gz", worse(rng, label, 0.1))
        save(tmp_path / f"total/{case}.nii", worse(rng, label, 0.4).astype(np.float32))
    (tmp_path / "nnUNet/dataset.json").write_text(json.dumps({"labels": LABELS}))
    (tmp_path / "nnUNet/plans.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    return tmp_path


def evaluate(place, *options: str, sources=("nnU-Net={0}/nnUNet", "total={0}/total")) -> int:
    arguments = [source.format(place) for source in sources]
    return main(["evaluate", *arguments, "--labels", str(place / "labelsTs"), "-o", str(place / "out"), *options])


def test_folders_of_two_tools_become_one_report(place):
    (place / "sites.csv").write_text("case,site\n" + "".join(f"{case},{'AB'[i % 2]}\n" for i, case in enumerate(CASES)))
    options = ("--images", str(place / "imagesTs"), "--metadata", str(place / "sites.csv"), "--pictures", "2")
    assert evaluate(place, *options) == 0
    results = json.loads((place / "out/results.json").read_text())
    assert results["reference"] == "nnU-Net"
    assert results["summary"].startswith("total gets no verdict against nnU-Net (")  # a single run each
    [subset] = results["subsets"]
    assert [family["title"] for family in subset["families"]] == ["Position along the volume", "Organ size", "site"]
    assert "thirds of the test cases by its volume" in subset["families"][1]["note"]
    assert [each["false_slices"] for each in subset["methods"]] == [{"part": 7, "whole": 14}] * 2
    assert {path.suffix for path in (place / "out/figures").glob("case_*")} == {".png"}
    assert len(list((place / "out/figures").glob("case_*"))) == 2
    with (place / "out/cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == {"left kidney", "right kidney", "<any>"}
    assert {row["method"] for row in rows} == {"nnU-Net", "total"}


def test_a_policy_that_case_tables_were_not_measured_with_is_refused(place, capsys):
    assert evaluate(place, "--pictures", "0") == 0
    table = str(place / "out/cases.csv")
    assert main(["evaluate", table, "-o", str(place / "again"), "--policy", "skip"]) == 2
    said = capsys.readouterr().err
    assert "--policy is skip, but there are case tables that were measured with penalise; add --predict" in said
    assert main(["evaluate", table, "-o", str(place / "again"), "--policy", "penalise"]) == 0


def test_one_name_for_a_table_of_several_methods_is_refused(place, capsys):
    assert evaluate(place, "--pictures", "0") == 0
    assert main(["evaluate", f"mine={place}/out/cases.csv", "-o", str(place / "again")]) == 2
    assert "the table holds several methods (nnU-Net, total)" in (said := capsys.readouterr().err)
    assert "give its path alone" in said


def test_training_subsets_of_a_case_table_stay_apart(place, capsys):
    for tool in ("nnUNet", "total"):
        shutil.copytree(place / tool, place / f"{tool}_2")
    sources = ("a@full={0}/nnUNet", "a@half={0}/total", "b@full={0}/total_2", "b@half={0}/nnUNet_2")
    assert evaluate(place, "--pictures", "0", sources=sources) == 0
    table = str(place / "out/cases.csv")
    assert main(["evaluate", table, "-o", str(place / "again"), "--pictures", "0"]) == 0
    first, again = (json.loads((place / f"{out}/results.json").read_text())["subsets"] for out in ("out", "again"))
    assert [subset["name"] for subset in again] == ["full", "half"]
    assert again == first

    capsys.readouterr()
    assert main(["evaluate", f"a@full={table}", "-o", str(place / "again")]) == 2
    assert "the table holds several methods (a, b)" in capsys.readouterr().err


def write_metadata(place, header: str, *lines: str) -> tuple[str, str]:
    (place / "meta.csv").write_text("\n".join([header, *lines]) + "\n")
    return "--metadata", str(place / "meta.csv")


def families(place) -> dict[str, dict[str, int]]:
    """Title of each family of groups -> group -> number of cases."""
    [subset] = json.loads((place / "out/results.json").read_text())["subsets"]
    return {
        family["title"]: {group["name"]: group["n"] for group in next(iter(family["summaries"].values()))["groups"]}
        for family in subset["families"]
    }


def test_metadata_say_whom_a_case_shows_and_where_it_is_from(place):
    options = write_metadata(
        place,
        "case,patient,site,scanner",
        *(f"{case},p{i // 2},{'AB'[i % 2]},s{i % 3}" for i, case in enumerate(CASES)),
        "pt_elsewhere,p9,C,s0",
    )
    assert evaluate(place, *options, "--group-by", "site", "--pictures", "0") == 0
    assert families(place)["site"] == {"site: A": 4, "site: B": 3, "site: C": 0}
    assert "scanner" not in families(place)
    results = json.loads((place / "out/results.json").read_text())
    assert results["subsets"][0]["methods"][0]["dice"][0]["n"] == 4  # patients of seven cases


def test_unasked_only_columns_of_few_values_group(place, capsys):
    everybody = [*CASES, *(f"elsewhere_{i}" for i in range(6))]
    lines = [f"{case},{40 + i}" for i, case in enumerate(everybody)]
    options = write_metadata(place, "case,age,site", *(f"{line},A" for line in lines))
    assert evaluate(place, *options, "--pictures", "0") == 0
    assert families(place)["site"] == {"site: A": 7}
    assert "age" not in families(place)

    assert evaluate(place, *write_metadata(place, "case,age", *lines)) == 2
    assert "no column of at most 12 values beside case and patient" in capsys.readouterr().err
    assert evaluate(place, "--group-by", "site") == 2
    assert "--group-by names columns of --metadata" in capsys.readouterr().err


def test_dice_is_that_of_the_files(place):
    assert evaluate(place, "--pictures", "0") == 0
    with (place / "out/cases.csv").open(newline="") as file:
        rows = {
            (row["method"], row["case"], row["class"]): float(row["value"])
            for row in csv.DictReader(file)
            if (row["group"], row["metric"]) == ("all", "dice")
        }
    for method, path in (("nnU-Net", "nnUNet/pt_3.nii.gz"), ("total", "total/pt_3.nii")):
        pred, target = (np.asarray(nib.load(place / p).dataobj) == 2 for p in (path, "labelsTs/pt_3.nii.gz"))
        due = 2 * (pred & target).sum() / (pred.sum() + target.sum())
        assert rows[method, "pt_3", "right kidney"] == pytest.approx(due)


def test_everything_that_is_wrong_is_said_at_once(place, capsys):
    label = read_nifti(place / "labelsTs/pt_2.nii.gz").array[0]
    (place / "nnUNet/pt_1.nii.gz").unlink()
    save(place / "nnUNet/pt_99.nii.gz", label)
    save(place / "nnUNet/pt_2.nii.gz", label[:-1])
    save(place / "nnUNet/pt_3.nii.gz", label, np.array([[0.8, 0, 0, 9], [0, 0.9, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]]))
    save(place / "nnUNet/pt_4.nii.gz", label * 4)
    (place / "nnUNet/pt_5.nii.gz").write_bytes(b"no volume")
    assert evaluate(place) == 2
    said = capsys.readouterr().err
    for case, rule, remedy in (
        ("pt_1", "holds no prediction of this name", "give --shared-cases to leave it out"),
        ("pt_99", "there is no reference", "add its label, move the prediction away"),
        ("pt_2", "has shape (9, 24, 20) but (10, 24, 20) is due", "resample it to the reference's grid"),
        ("pt_3", "lies 9 mm off the grid due", "resample it to the reference's grid"),
        ("pt_4", "stand for no class", "name them all by --classes"),
        ("pt_5", "pt_5.nii.gz", "copy it again"),
    ):
        [line] = [line for line in said.splitlines() if f"case {case}:" in line]
        assert rule in line
        assert remedy in line
    assert not (place / "out").exists()


def test_shared_cases_leave_the_others_out_and_name_them(place):
    (place / "nnUNet/pt_1.nii.gz").unlink()
    assert evaluate(place, "--shared-cases", "--pictures", "0") == 0
    results = json.loads((place / "out/results.json").read_text())
    assert results["left_out"] == [f"case pt_1: not in {place / 'nnUNet'}"]
    assert [run["cases"] for run in results["runs"]] == [CASES[1:]] * 2
    assert "pt\\_1: not in" in (place / "out/report.md").read_text()


def test_shared_cases_name_what_nobody_predicted_and_what_has_no_reference(place):
    """Perhaps the hardest case, on which all tools failed: no source lacks it beside another that has it."""
    for tool, ending in (("nnUNet", ".nii.gz"), ("total", ".nii")):
        (place / f"{tool}/pt_1{ending}").rename(place / f"{tool}/other{ending}")
    assert evaluate(place, "--shared-cases", "--pictures", "0") == 0
    results = json.loads((place / "out/results.json").read_text())
    assert results["left_out"] == [f"case pt_1: not in {place / 'nnUNet'}, {place / 'total'}"]
    for tool in ("nnUNet", "total"):
        assert f"{place / tool}: not measured for want of a reference: other." in results["summary"]


def test_no_picture_is_drawn_of_a_case_that_is_left_out(place):
    (place / "nnUNet/pt_1.nii.gz").unlink()
    rng = np.random.default_rng(0)
    label = read_nifti(place / "labelsTs/pt_1.nii.gz").array[0]
    save(place / "total/pt_1.nii", worse(rng, label, 0.9).astype(np.float32))  # the worst of all
    assert evaluate(place, "--images", str(place / "imagesTs"), "--shared-cases", "--pictures", "2") == 0
    drawn = [path.name for path in (place / "out/figures").glob("case_*")]
    assert len(drawn) == 2
    assert not any("pt_1" in name for name in drawn)


def test_a_mask_an_organ_is_as_good_as_a_label_map(place):
    """As TotalSegmentator writes: a folder a case, in it a file an organ, most of which nobody asked for."""
    for case in CASES:
        preds = read_nifti(place / f"nnUNet/{case}.nii.gz").array[0]
        for name, value in [*LABELS.items(), ("spleen", 7)]:
            if value:
                save(place / f"masks/{case}/{name}.nii.gz", (preds == value).astype(np.uint8))
    assert evaluate(place, "--pictures", "0", sources=("maps={0}/nnUNet", "masks={0}/masks")) == 0
    results = json.loads((place / "out/results.json").read_text())
    maps, masks = results["subsets"][0]["methods"]
    assert [each["mean"] for each in maps["dice"]] == [each["mean"] for each in masks["dice"]]


def test_masks_that_fit_no_class_are_refused_and_overlaps_are_told(place, capsys, caplog):
    ones = np.ones((10, 24, 20), np.uint8)
    for case in CASES:
        save(place / f"masks/{case}/left kidney.nii.gz", ones)
    (place / "masks/pt_1/left kidney.nii.gz").rename(place / "masks/pt_1/kidney_left.nii.gz")
    save(place / "masks/pt_2/right kidney.nii.gz", ones)
    assert evaluate(place, "--pictures", "0", sources=("masks={0}/masks", "maps={0}/nnUNet")) == 2
    said = capsys.readouterr().err
    assert "pt_1 holds a mask an organ: kidney_left, but none is called like one of the classes" in said
    assert "rename the masks, or name the classes like them" in said
    assert "pt_2: 4800 voxels lie in several masks and count to the last of them" in caplog.text


def test_names_of_classes_can_be_given(place):
    (place / "nnUNet/dataset.json").unlink()
    assert evaluate(place, "--classes", "a, b", "--pictures", "0") == 0
    results = json.loads((place / "out/results.json").read_text())
    assert [each["class_name"] for each in results["subsets"][0]["methods"][0]["dice"]] == ["<mean>", "a", "b"]


@pytest.mark.parametrize(
    ("sources", "options", "remedy"),
    [
        (["{0}/nothing"], [], "give METHOD=PATH or PATH of what is there"),
        (
            ["{0}/empty"],
            [],
            "neither a run folder (config.yaml) nor predictions (NIfTI, NRRD, MHA, MHD, MGZ files); correct the path",
        ),
        (["{0}/nnUNet", "{0}/total"], ["--reference", "mine"], "choose one of nnUNet, total"),
        (["a@full={0}/nnUNet", "b@half={0}/nnUNet", "{0}/total"], [], "METHOD@SUBSET=PATH"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_a_remedy(place, capsys, sources, options, remedy):
    assert evaluate(place, *options, "--pictures", "0", sources=sources) == 2
    assert remedy in capsys.readouterr().err


def test_a_report_is_written_by_one_process_at_a_time(place, monkeypatch):
    from adawac.report import compare as module

    def write(*arguments):
        with pytest.raises(LockedError), locked(place / "out", patience=0):
            pass
        return place / "out/report.html"

    monkeypatch.setattr(module, "write_report", write)
    assert evaluate(place, "--pictures=0") == 0
    with locked(place / "out", patience=0):
        pass


def test_predictions_need_references(place, capsys):
    assert main(["evaluate", str(place / "nnUNet"), "-o", str(place / "out")]) == 2
    assert "give the folder of the reference label maps, --labels" in capsys.readouterr().err


@pytest.mark.parametrize("named", ["cases.csv", "out"])
def test_a_case_table_can_be_evaluated_again_also_as_the_report_that_it_is_of(place, named):
    assert evaluate(place, "--pictures", "0") == 0
    shutil.copy(place / "out/cases.csv", place / "cases.csv")
    assert main(["evaluate", str(place / named), "-o", str(place / "again"), "--pictures", "0"]) == 0
    first, again = (json.loads((place / f"{out}/results.json").read_text()) for out in ("out", "again"))
    assert again["subsets"] == first["subsets"]
