import json

import pytest
import yaml

from adawac.errors import ConfigError, DataError
from adawac.evaluation.references import References
from adawac.runs.folder import RunFolder


@pytest.mark.parametrize("layout", ["moved.Mine", "adawac.data.layouts.Mine", "Mine"])
def test_a_run_whose_layout_is_not_there_any_more_is_refused_in_words(tmp_path, layout):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": {"root": ".", "layout": {"class_path": layout}}}))
    (tmp_path / "split.json").write_text(json.dumps({"test": ["pt_1"]}))
    with pytest.raises(
        ConfigError, match=r"no readable configuration and split .*give a whole run folder, or --labels and --images"
    ):
        References.of_run(RunFolder(tmp_path), recipe=None)


def test_a_run_whose_data_were_moved_says_what_to_give(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": {"root": str(tmp_path / "gone")}}))
    (tmp_path / "split.json").write_text(json.dumps({"train": ["pt_2"], "val": [], "test": ["pt_1"]}))
    with pytest.raises(DataError, match=r"its data folder .*gone is not there any more; give --labels and --images"):
        References.of_run(RunFolder(tmp_path), recipe=None)
