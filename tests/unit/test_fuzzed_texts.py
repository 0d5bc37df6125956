"""Texts that people write or that lie beside results: read, or refused in a line with a remedy, whatever is there."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from adawac.data.layouts import MSD, NNUNet
from adawac.data.layouts.base import Case
from adawac.data.splits import FileSplit
from adawac.errors import AdaWACError
from adawac.evaluation import metadata_header, read_csv, read_metadata
from adawac.io.case_column import read_case_column
from adawac.runs.folder import RunFolder
from adawac.runs.slice_weights import SliceWeights
from adawac.runs.suspects import read_suspects
from adawac.study import read_study

CASES = (Path(__file__).parents[1] / "data/case_rows.csv").read_text().splitlines()
IDS = ("pt_1", "pt_2")
PATIENTS = dict.fromkeys(IDS, "a")
MSD_JSON = {"name": "d", "labels": {"0": "background", "1": "liver"}, "training": [{"image": "a", "label": "b"}]}
STUDY = {"name": "s", "common": {"trainer.max_epochs": 4}, "grid": {"method": {"erm": {"a": 1}}, "seed": [0, 1]}}

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "case table": ("\n".join(CASES[:3]), read_csv),
    "metadata": ("case,site\npt_1,A\npt_2,B\n", lambda path: [read_metadata(path, c) for c in metadata_header(path)]),
    "groups": ("case,group\npt_1,A\npt_2,B\n", lambda path: read_case_column(path, "group", IDS)),
    "weights": ("case,unit,position,dense,weight,score\npt_1,0,0.5,1,0.5,0.2\n", SliceWeights.read),
    "suspects": ("case,unit,score\npt_1,3,2.5\n", read_suspects),
    "split": (
        json.dumps([{"train": ["pt_1"], "val": ["pt_2"]}]),
        lambda path: FileSplit(str(path)).split(path.parent, [Case(id, (), ()) for id in IDS], PATIENTS),
    ),
    "split of a run": (
        json.dumps({"train": ["a"], "val": [], "test": []}),
        lambda path: run_at(path, "split.json").split,
    ),
    "record of a run": (json.dumps({"steps": 3, "device": "cpu"}), lambda path: run_at(path, "run.json").record),
    "settings of a run": ("model: {weighting: ERM}\n", lambda path: run_at(path, "config.yaml").config),
    "dataset.json": (json.dumps(MSD_JSON), lambda path: MSD().scan(named(path, "dataset.json").parent)),
    "dataset.json of nnU-Net": (
        json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}),
        lambda path: NNUNet().scan(named(path, "dataset.json").parent),
    ),
    "study": (yaml.safe_dump(STUDY), lambda path: read_study(path, path.parent / "runs")),
}
PIECES = (
    "\n",
    ",",
    '"',
    "[",
    "]",
    "{",
    "}",
    ":",
    "null",
    "-1",
    "1e999",
    "NaN",
    "\x00",
    "\x1b",
    "é",
    "- ",
    "&a ",
    "*a",
    "=",
)


def named(path: Path, name: str) -> Path:
    return path.rename(path.with_name(name))


def run_at(path: Path, name: str) -> RunFolder:
    return RunFolder(named(path, name).parent)


@pytest.mark.parametrize("kind", READERS)
@given(
    edits=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(PIECES), st.integers(0, 6)), max_size=4),
    cut=st.integers(0, 400),
    raw=st.binary(max_size=4),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_damaged_text_is_read_or_refused_and_nothing_else(kind, edits, cut, raw):
    text, read = READERS[kind]
    for place, piece, removed in edits:
        place %= len(text) + 1
        text = text[:place] + piece + text[place + removed :]
    refuses(read, text.encode()[: 1 + cut] + raw)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "text",
    ["", "[" * 10**4, "null", "[]", "{}", "3", '{"a": [', "\ufeff", '"', "a,b\n1", "a: 2020-13-45", "1" * 5000],
)
def test_what_is_no_such_text_is_refused(kind, text):
    refuses(READERS[kind][1], text.encode())


def refuses(read: Callable[[Path], object], content: bytes) -> None:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, "a")
        path.write_bytes(content)
        try:
            read(path)
        except AdaWACError as error:
            if "; " not in str(error):  # what is wrong; the remedy
                raise
