"""Folders of several sites, whose patterns leave no site out; links, archives and lists beside the data."""

import gzip
import shlex
from pathlib import Path

import pytest
import SimpleITK
from closed_places import closed
from field_data import check, folders, volumes
from tiny_data import save_nifti

from adawac.cli import main
from adawac.data.layouts import Folders, detect
from adawac.data.layouts.proposal import proposed
from adawac.data.splits import FileSplit
from adawac.errors import DataError
from adawac.io.image_cases import find_images, named_by
from adawac.io.images import read_image
from adawac.io.volumes import read_nifti

SITES = ("Utrecht/0", "Utrecht/19", "Singapore/50", "Singapore/51", "Amsterdam/GE3T/100", "Amsterdam/Philips/150")
"""Of the WMH challenge: folders of one site lie deeper than those of others."""


@pytest.fixture
def wmh(tmp_path):
    for (image, label), site in zip(volumes(len(SITES), 2).values(), SITES, strict=True):
        save_nifti(tmp_path / site / "orig/FLAIR.nii.gz", image[0])
        save_nifti(tmp_path / site / "orig/T1.nii.gz", image[1])
        save_nifti(tmp_path / site / "wmh.nii.gz", label)
    return tmp_path


def test_what_is_proposed_for_sites_finds_all_of_them(wmh, capsys):
    with pytest.raises(DataError, match="the folder has none of the known layouts"):
        detect(wmh)
    options = proposed(wmh)
    assert (
        "--layout.images '[\"**/orig/FLAIR.nii.gz\", \"**/orig/T1.nii.gz\"]' --layout.labels '**/wmh.nii.gz'" in options
    )
    assert main(["check", str(wmh), "--layout", "Folders", *shlex.split(options), "--picture", str(wmh / "a.png")]) == 0
    assert f"no problems in {len(SITES)} cases" in capsys.readouterr().out


def test_folders_of_any_depth_name_the_case(wmh):
    found = dict(named_by(wmh, "**/orig/FLAIR.nii.gz"))
    assert found == {site.replace("/", "_"): wmh / site / "orig/FLAIR.nii.gz" for site in SITES}
    assert sorted(found.values()) == sorted(wmh.rglob("FLAIR.nii.gz"))
    assert [name for name, _ in named_by(wmh, "?**/1*/**/T1.nii.gz")] == ["00_orig", "50_orig", "9_orig"]
    assert [name for name, _ in named_by(wmh, "Utr**/1*/orig/T1.nii.gz")] == ["echt_9"]  # no folders: part of a name
    layout = Folders("**/orig/FLAIR.nii.gz", "**/wmh.nii.gz")
    assert {case.id for case in layout.scan(wmh).cases} == found.keys()


def test_a_pattern_that_finds_most_is_proposed(tmp_path):
    """ATLAS: six folders deep, a site each; a pattern for one site alone would leave the others out."""
    for number, (image, label) in enumerate(volumes(6).values()):
        name = f"sub-r{number // 3 + 1:03d}s{number:03d}"
        place = tmp_path / f"Training/R{number // 3 + 1:03d}/{name}/ses-1/anat/{name}_ses-1_space-MNI"
        save_nifti(Path(f"{place}_T1w.nii.gz"), image[0])
        save_nifti(Path(f"{place}_label-L_desc-T1lesion_mask.nii.gz"), label)
    images, labels = shlex.split(proposed(tmp_path))[1::2]
    assert len(Folders(images, labels).scan(tmp_path).cases) == 6


@pytest.mark.parametrize("target", ["/nowhere/a.nii.gz", "../gone.nii.gz", "case_01.nii.gz"])
def test_links_to_nothing_or_to_themselves(tmp_path, target):
    root = folders(tmp_path / "data")
    (path := root / "images/case_01.nii.gz").unlink()
    path.symlink_to(target)
    (problem,) = check(root).problems
    assert f"case_01.nii.gz: it is a link to {target}, which leads to no file; restore that" in problem


def test_compressed_twice(tmp_path):
    root = folders(tmp_path / "data")
    path = root / "images/case_01.nii.gz"
    before = path.read_bytes()
    path.write_bytes(gzip.compress(before))
    (problem,) = check(root).problems
    assert problem.endswith("; unpack it once")
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert read_nifti(path).array.shape == (1, 6, 16, 16)


@pytest.mark.parametrize("name", ["images.zip", "case_0.nii.zip", "case_0.nii.bz2"])
def test_what_is_packed_is_to_be_unpacked(tmp_path, name):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(b"PK\3\4")
    with pytest.raises(DataError, match=rf"not read: {name}.*: unpack those that are packed$"):
        check(tmp_path)


def test_a_split_in_a_table(tmp_path):
    root = folders(tmp_path / "data", 6)
    lines = [
        f"{name}.nii.gz,{part}" for name, part in zip(volumes(6), ["train"] * 3 + ["Val"] + ["test"] * 2, strict=True)
    ]
    (root / "splits.csv").write_bytes("\r\n".join(["case,split", *lines]).encode("utf-8-sig"))
    assert any("splits.csv is not read, as splits.json would be" in note for note in check(root).notes)
    cases = detect(root).scan(root).cases
    split = FileSplit("splits.csv").split(root, cases, {case.id: case.id for case in cases})
    assert (split.train, split.val, split.test) == (
        ("case_00", "case_01", "case_02"),
        ("case_03",),
        ("case_04", "case_05"),
    )
    (root / "splits.csv").write_text("name,part\n")
    with pytest.raises(DataError, match="needs the columns case and split but has 'name, part'; add them"):
        FileSplit("splits.csv").split(root, cases, {case.id: case.id for case in cases})


def test_subjects_that_are_called_by_words(tmp_path):
    """BIDS of several sites: sub-amu01, sub-geneva06; labels lie in other folders than images."""
    names = ("sub-amu01", "sub-cmrra02", "sub-geneva06", "sub-mni05")
    for name, (image, label) in zip(names, volumes(4).values(), strict=True):
        save_nifti(tmp_path / f"{name}/anat/{name}_T2w.nii.gz", image[0])
        save_nifti(tmp_path / f"derivatives/labels/{name}/anat/{name}_T2w_seg-manual.nii.gz", label)
    images, labels = shlex.split(proposed(tmp_path))[1::2]
    cases = Folders(images, labels).scan(tmp_path).cases
    assert {(case.id, case.images[0].parts[-3], case.label[0].parts[-3]) for case in cases} == {
        (n, n, n) for n in names
    }


def test_what_a_proposal_leaves_out_is_said(tmp_path):
    """WORD: parts in folders of their own, which no pattern finds together."""
    for number, (image, label) in enumerate(volumes(5).values()):
        part = "Tr" if number < 3 else "Val"
        save_nifti(tmp_path / f"images{part}/word_{number:04d}.nii.gz", image[0])
        save_nifti(tmp_path / f"labels{part}/word_{number:04d}.nii.gz", label)
    said = proposed(tmp_path)
    assert said.startswith("--layout.images 'imagesTr/word_*.nii.gz' --layout.labels 'labelsTr/word_*.nii.gz'")
    assert said.endswith(" (it leaves out labelsVal/word_*.nii.gz)")


def test_a_header_whose_voxels_were_renamed(tmp_path):
    image, label = volumes(1)["case_00"]
    for folder, array in (("images", image[0]), ("labels", label)):
        (tmp_path / folder).mkdir()
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(tmp_path / folder / "a.mhd"))
        for ending in ("mhd", "raw"):
            (tmp_path / folder / f"a.{ending}").rename(tmp_path / folder / f"b.{ending}")
    with pytest.raises(
        DataError, match=r"the header names 'a.raw'; restore that file, write b.raw there if it was renamed, or export"
    ):
        read_image([tmp_path / "images/b.mhd"])
    for folder in ("images", "labels"):
        header = tmp_path / folder / "b.mhd"
        header.write_text(header.read_text().replace("a.raw", "b.raw"))
    assert (read_image([tmp_path / "images/b.mhd"]).array == image).all()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in/a.zip", b"PK", r"not read: a.zip: unpack those that are packed"),
        ("in/a.png", b"", r"not read: a.png: write all slices of a scan as one NIfTI"),
        ("in/pt/a.tar.gz", b"", r"not read: pt/ \(with pt/a.tar.gz, to be unpacked\)"),
        ("in", bytes(128) + b"DICM", r"it is a slice of a series, whose folder is due"),
        ("in/pt/study/3/a.dcm", b"", r"a pattern of them such as \*/\?\*/\?\* \(not read: pt/"),
    ],
)
def test_predict_tells_the_same_of_what_is_no_image(tmp_path, name, content, said):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"in: no image there.*{said}"):
        find_images(tmp_path / "in")


@pytest.mark.parametrize("name", ["case_01.nii.gz", "case_01.mha"])
def test_a_file_that_may_not_be_read_is_not_corrupt(tmp_path, name):
    root = folders(tmp_path / "data")
    path = root / "images/case_01.nii.gz"
    if name.endswith(".mha"):
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(root / "images" / name))
        path.unlink()
    with closed(root / "images" / name):
        (problem,) = check(root).problems
    assert f"{name}: Permission denied; let it be read by the user that you are" in problem
    assert "corrupt" not in problem
