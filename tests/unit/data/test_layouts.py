import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_data import (
    make_case,
    write_acdc_slices,
    write_acdc_volumes,
    write_folders,
    write_msd,
    write_nnunet,
    write_synapse,
)

from adawac.data.classes import Classes
from adawac.data.layouts import ACDC, MSD, Folders, NNUNet, Synapse, detect
from adawac.data.layouts.files import natural_key
from adawac.data.reading import read_case
from adawac.errors import DataError

HERE = [
    (write_msd, MSD),
    (write_nnunet, NNUNet),
    (write_folders, Folders),
    (write_synapse, Synapse),
    (write_acdc_slices, ACDC),
    (write_acdc_volumes, ACDC),
]


def edit_json(root, **changes):
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("write", "layout"), HERE)
def test_every_layout_is_detected_and_every_case_read(tmp_path, write, layout):
    root = write(tmp_path, cases=3)
    found = detect(root)
    assert type(found) is layout
    collection = found.scan(root)
    classes = Classes.from_labels(collection.labels, collection.ignore_value)
    assert len(collection.cases) == (5 if layout is Synapse else 3)  # two are to be tested
    held = set()
    for case in collection.cases:
        image, label = read_case(found, case, classes, len(collection.channels))
        assert image.array.shape == label.array.shape == (1, 6, 16, 16)
        assert not label.array[0, [0, -1]].any()
        held |= set(np.unique(label.array))
        # the blobs' intensity shows the label
        assert image.array[label.array == len(classes) - 1].min() > np.median(image.array[label.array == 0])
    assert held == set(range(len(classes)))


@pytest.mark.parametrize(("write", "layout"), HERE[:3])
def test_channels(tmp_path, write, layout):
    root = write(tmp_path, cases=1, channels=2)
    collection = layout().scan(root)
    image = layout().read_image(collection.cases[0])
    np.testing.assert_array_equal(image.array, make_case(np.random.default_rng(0), (6, 16, 16), 2)[0])
    assert len(collection.channels) == 2


def test_cases_come_in_natural_order(tmp_path):
    ids = [case.id for case in MSD().scan(write_msd(tmp_path, cases=11)).cases]
    assert ids == [f"pt_{i}" for i in range(1, 12)]
    assert sorted(["t2²", "t10", "t2"], key=natural_key) == ["t2", "t2²", "t10"]  # ² is a digit, but no number


def test_no_layout(tmp_path):
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown/a.txt").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="this is a file; give the folder"):
        detect(tmp_path / "unknown/a.txt")
    with pytest.raises(DataError, match=r"known layouts: dataset\.json .*say where files lie"):
        detect(tmp_path / "unknown")
    for named in (None, NNUNet(), Folders()):  # a disk that is not there is no broken layout
        with pytest.raises(DataError, match="the data folder does not exist; correct the path"):
            detect(tmp_path / "nothing", named)
    with pytest.raises(DataError, match="empty; put a data set there"):
        detect(tmp_path / "empty")


def test_a_data_set_one_folder_deeper_is_pointed_out(tmp_path):
    write_msd(tmp_path / "Task09_Spleen", cases=1)
    with pytest.raises(DataError, match="give a folder inside it: Task09_Spleen;"):
        detect(tmp_path)


# dataset.json, both generations


def test_msd_tells_what_it_found(tmp_path):
    collection = MSD().scan(write_msd(tmp_path))
    assert collection.name == "tiny"
    assert collection.labels == {0: "background", 1: "left_kidney", 2: "right_kidney"}
    assert (collection.channels, collection.modality, collection.ignore_value) == (("CT",), "ct", None)
    assert {case.split for case in collection.cases} == {None}


def test_msd_bare_paths_test_cases_and_mr(tmp_path):
    root = write_msd(tmp_path, cases=3)
    entries = json.loads((root / "dataset.json").read_text())["training"]
    edit_json(
        root,
        training=[entry["image"] for entry in entries[:2]],
        test=[entries[2], "./imagesTs/unlabelled.nii.gz"],
        modality={"1": "T2", "0": "FLAIR"},
    )
    collection = MSD().scan(root)
    assert [(case.id, case.split) for case in collection.cases] == [
        ("pt_1", "train"),
        ("pt_2", "train"),
        ("pt_3", "test"),
    ]
    assert collection.cases[0].label == (root / "labelsTr/pt_1.nii.gz",)
    assert (collection.channels, collection.modality) == (("FLAIR", "T2"), "mr")


def test_nnunet_v1_keeps_a_file_for_each_channel_under_one_name(tmp_path):
    root = write_msd(tmp_path, cases=2)
    for number in (1, 2):
        path = root / f"imagesTr/pt_{number}.nii.gz"
        shutil.copy(path, root / f"imagesTr/pt_{number}_0001.nii.gz")
        path.rename(root / f"imagesTr/pt_{number}_0000.nii.gz")
    edit_json(root, modality={"0": "CT", "1": "CT"})
    case = MSD().scan(root).cases[1]
    assert case.id == "pt_2"
    assert MSD().read_image(case).array.shape == (2, 6, 16, 16)


def test_msd_lists_missing_files(tmp_path):
    root = write_msd(tmp_path, cases=12)
    (root / "labelsTr/pt_2.nii.gz").unlink()
    with pytest.raises(DataError, match=r"case pt_2: .*labelsTr/pt_2.nii.gz does not exist; restore the file"):
        MSD().scan(root)
    shutil.rmtree(root / "imagesTr")
    with pytest.raises(DataError, match=r"12 cases alike; restore the file or (?s:.*)and 10 more"):
        MSD().scan(root)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"labels": {}}, "`labels` must be a mapping, not"),
        ({"labels": {"a": "liver"}}, "write {name: value}"),
        ({"labels": {"liver": 1.5}}, "'liver': 1.5 has no whole number"),
        ({"labels": {"liver": float("inf")}}, "'liver': inf has no whole number"),
        ({"labels": {"0": "background", "00": "air"}}, "keep one"),
        ({"training": []}, "check that the download is complete"),
        ({"training": {}}, "must be a list of cases.*correct the file"),
        ({"training": [{"image": "a.nii.gz"}]}, "needs `image` and `label`.*complete it"),
        ({"training": ["imagesTr/pt_1.nii.gz"] * 2}, "case pt_1: .* lists pt_1.nii.gz twice; take one"),
        ({"modality": ["CT"]}, "`modality` must name the channels"),
    ],
)
def test_msd_dataset_json_that_makes_no_sense(tmp_path, changes, remedy):
    root = write_msd(tmp_path, cases=1)
    edit_json(root, **changes)
    with pytest.raises(DataError, match=remedy):
        MSD().scan(root)


@pytest.mark.parametrize("content", ["{", "[]", b"\xff\xfe"])
def test_broken_dataset_json(tmp_path, content):
    (tmp_path / "dataset.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"dataset\.json: .*correct"):
        detect(tmp_path)


def test_nnunet_tells_what_it_found(tmp_path):
    root = write_nnunet(tmp_path, cases=2, test_cases=1)
    edit_json(root, labels={"background": 0, "cord": 1, "liver": 2, "ignore": 3}, channel_names={"0": "MRI"})
    collection = NNUNet().scan(root)
    assert collection.labels == {0: "background", 1: "cord", 2: "liver"}
    assert (collection.ignore_value, collection.modality, collection.channels) == (3, "mr", ("MRI",))
    assert [case.split for case in collection.cases] == ["train", "train", "test"]
    shutil.rmtree(root / "labelsTs")
    assert [case.split for case in NNUNet().scan(root).cases] == [None, None]


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        (
            {"labels": {"background": 0, "whole_tumor": [1, 2], "core": 2}},
            r"'whole_tumor' is a region \[1, 2\].*`merge`",
        ),
        ({"numTraining": 3}, "`numTraining` is 3 but 2 cases.*correct the number"),
        ({"file_ending": ".png"}, "convert the files"),
        ({"channel_names": {"1": "CT"}}, "numbered from 0.*correct them"),
        ({"channel_names": {"0": "CT", "1": "PET"}}, r"case pt_1: .*names 2 channels.*\[0\]; complete"),
        ({"labels": []}, "`labels` must be a mapping.*write"),
    ],
)
def test_nnunet_dataset_json_that_makes_no_sense(tmp_path, changes, remedy):
    root = write_nnunet(tmp_path, cases=2)
    edit_json(root, **changes)
    with pytest.raises(DataError, match=remedy):
        NNUNet().scan(root)


def test_nnunet_lists_missing_partners(tmp_path):
    root = write_nnunet(tmp_path, cases=3)
    (root / "labelsTr/pt_1.nii.gz").unlink()
    (root / "imagesTr/pt_2_0000.nii.gz").unlink()
    shutil.copy(root / "imagesTr/pt_3_0000.nii.gz", root / "imagesTr/stray.nii.gz")
    (root / "imagesTr/._pt_3_0000.nii.gz").touch()  # left behind by macOS, no problem
    with pytest.raises(DataError) as caught:
        NNUNet().scan(root)
    text = str(caught.value)
    assert text.startswith("3 problems")
    for part in (
        "case pt_1: ",
        "restore the label",
        "case pt_2: ",
        "restore the image",
        "stray.nii.gz",
        "rename it",
    ):
        assert part in text


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_nnunet_needs_its_folders(tmp_path, folder):
    root = write_nnunet(tmp_path, cases=1)
    shutil.rmtree(root / folder)
    with pytest.raises(DataError, match=f"{folder}: the folder does not exist; complete"):
        NNUNet().scan(root)


# two plain folders


def test_folders_read_the_values_of_the_labels(tmp_path):
    assert Folders().scan(write_folders(tmp_path)).labels == {0: "background", 1: "class_1", 2: "class_2"}


def test_folders_with_settings(tmp_path):
    root = write_folders(tmp_path, cases=1)
    (root / "images").rename(root / "scans")
    layout = Folders(images="scans", label_names={0: "background", 1: "left", 2: "right"}, modality="mr")
    assert layout.matches(root)
    collection = layout.scan(root)
    assert (collection.labels[2], collection.modality) == ("right", "mr")
    with pytest.raises(DataError, match=r"images: the folder does not exist; correct `images`"):
        Folders().scan(root)


def test_folders_list_missing_partners(tmp_path):
    root = write_folders(tmp_path, cases=3)
    (root / "labels/pt_1.nii.gz").unlink()
    (root / "images/pt_2.nii.gz").unlink()
    with pytest.raises(DataError, match=r"2 problems:(?s:.*)case pt_1: .*add it(?s:.*)case pt_2: .*add it or remove"):
        Folders().scan(root)


def test_folders_name_every_unreadable_label(tmp_path):
    root = write_folders(tmp_path / "data", cases=3, shape=(4, 8, 8))
    for label in sorted((root / "labels").iterdir())[:2]:
        label.write_bytes(b"not a NIfTI")
    with pytest.raises(DataError, match=r"(?s)case pt_1: .*copy it again.*case pt_2: .*copy it again"):
        Folders().scan(root)


# arrays


@pytest.mark.skipif("ADAWAC_DATA" not in os.environ, reason="ADAWAC_DATA is unset: the real data sets are not here")
@pytest.mark.parametrize(
    ("folder", "layout", "cases", "shape"),
    [
        ("openkbp-ct", MSD, 40, (1, 116, 128, 128)),
        ("acdc-h5", ACDC, 50, (1, 10, 256, 240)),
    ],
)
def test_real_data(folder, layout, cases, shape):
    root = Path(os.environ["ADAWAC_DATA"]) / folder
    found = detect(root)
    assert type(found) is layout
    collection = found.scan(root)
    assert len(collection.cases) == cases
    image, label = read_case(found, collection.cases[0], Classes.from_labels(collection.labels), 1)
    assert image.array.shape == label.array.shape == shape
    assert label.array.any()
