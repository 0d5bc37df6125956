"""Every command killed at a random moment, and four starts of it at once: nothing is lost, nothing mixed."""

import json

import interrupted_commands
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fit", "study", "prepare", "predict", "evaluate"])
def test_nothing_is_lost_and_nothing_mixed(tmp_path, command):
    (row,) = interrupted_commands.main(["--kills", "2", "--commands", command, "-o", str(tmp_path / "found.json")])
    assert (row.command, row.kills, row.whole, row.together, row.alike) == (command, 2, 2, 4, 4)
    assert json.loads((tmp_path / "found.json").read_text())["rows"][0]["command"] == command
