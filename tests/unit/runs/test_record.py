"""run.json and its neighbours, damaged: an error of one line, whatever stands in them."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adawac.errors import ConfigError
from adawac.report.run_origin import made_of
from adawac.runs.folder import RunFolder

DRAWS = {"dense": 0.5, "of_class": {"liver": 0.25}, "least": 0, "median": 1.5, "most": 3, "effective": 2}
SOUND = {
    "command": ["adawac", "fit"],
    "versions": {"torch": "2.13"},
    "device": "cpu",
    "earlier": [{"command": ["adawac"], "versions": {"torch": "2.12"}, "code": {"adawac": None}, "device": None}],
    "subset": "FullSubset",
    "images_seen": 10,
    "network_passes": 20,
    "draws": DRAWS,
    "units_of_class": {"liver": 3},
}


def run_with(folder: Path, text: str) -> RunFolder:
    run = RunFolder(folder)
    run.record_file.write_text(text)
    return run


def test_a_sound_record_is_read(tmp_path):
    assert run_with(tmp_path, json.dumps(SOUND)).record == SOUND
    assert run_with(tmp_path, json.dumps(SOUND | {"draws": None, "mine": [1]})).record["mine"] == [1]


@pytest.mark.parametrize(
    "change",
    [
        *({"earlier": value} for value in (5, ["x"], "x", [5], {"a": 1}, [{"versions": ["a"]}], [{"device": 5}])),
        *({"versions": value} for value in (["a"], "a", {"torch": 3}, {"torch": ["x"]}, 1.5)),
        *({"device": 5}, {"device": ["cpu"]}, {"subset": {}}, {"subset": 3}, {"unit": []}),
        *({"images_seen": value} for value in ("<b>", [1], {}, True, 1.5, float("nan"))),
        *({"network_passes": "1"}, {"steps": "x"}, {"command": "fit"}, {"command": [1]}, {"code": "x"}),
        *({"draws": value} for value in ([1], "x", {}, {**DRAWS, "more": 1}, {**DRAWS, "of_class": [1]})),
        *({"units_of_class": value} for value in ([1], {"a": "b"}, "x")),
    ],
)
def test_other_types_are_refused(tmp_path, change):
    with pytest.raises(ConfigError, match=r"run.json: damaged \(\w+ is .*; take it"):
        _ = run_with(tmp_path, json.dumps(SOUND | change)).record


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 10**5, '{"a":' * 10**5])
def test_other_content_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"damaged \(.*; take it from a backup"):
        _ = run_with(tmp_path, text).record
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(ConfigError, match=r"damaged \(.*; take it from a backup"):
        _ = RunFolder(tmp_path).split


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(SOUND)), value=anything)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_whatever_is_taken_can_be_reported(tmp_path_factory, key, value):
    run = run_with(tmp_path_factory.mktemp("record"), json.dumps(SOUND | {key: value}))
    try:
        record = run.record
    except ConfigError:
        return
    made_of(run.path, [], run)
    f"{record.get('images_seen', 0):,}"
