"""A dataset.json of nnU-Net v2 that still has the list of the older generation: all channels are read."""

import json

import numpy as np
import pytest
from field_data import check, nnunet

from adawac.data.layouts import MSD, NNUNet, detect
from adawac.errors import DataError


def with_list(root, numbered: bool = False, **changed):
    """The list of v1, and what else is changed; None leaves a key out."""
    names = [f"case_{i:02d}" for i in range(4)]
    end = "_0000" * numbered
    listed = [{"image": f"./imagesTr/{n}{end}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names]
    described = json.loads((root / "dataset.json").read_text()) | {"training": listed} | changed
    (root / "dataset.json").write_text(json.dumps({k: v for k, v in described.items() if v is not None}))
    return root


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("names", [{}, {"channel_names": None}])
def test_every_channel_is_read(tmp_path, numbered, names):
    """The second was left out, with no more than a note of files that are not read."""
    due = NNUNet().scan(nnunet(tmp_path / "due", channels=("T1", "T2")))
    root = with_list(nnunet(tmp_path / "data", channels=("T1", "T2")), numbered, **names)
    layout = detect(root, None)
    assert type(layout) is MSD
    found = layout.scan(root)
    assert len(found.channels) == 2
    if not names:
        assert (found.channels, found.modality) == (("T1", "T2"), "mr")
    for mine, its in zip(found.cases, due.cases, strict=True):
        assert mine.id == its.id
        np.testing.assert_array_equal(layout.read_image(mine).array, NNUNet().read_image(its).array)
    assert check(root).notes == ()


def test_the_name_of_the_channel_counts(tmp_path):
    root = with_list(nnunet(tmp_path / "data", channels=("T1",)))
    assert "by its names of channels" in check(root).recognised[1].found
    with pytest.raises(DataError, match=r'`channel_names` must name the channels, such as {"0": "CT"}, but is \[\'T1'):
        check(with_list(nnunet(tmp_path / "other"), channel_names=["T1"]))
