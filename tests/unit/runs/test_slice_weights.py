import pytest

from adawac.errors import DataError
from adawac.runs.slice_weights import SliceWeights


def test_a_file_that_is_no_table_of_weights_is_refused(tmp_path):
    for content in ("case,weight\na,1\n", "case,unit,position,label_dense,weight,score\na,0,0.5,1,x,2\n"):
        (tmp_path / "weights.csv").write_text(content)
        with pytest.raises(DataError, match=r"weights.csv: not readable .* train the run anew"):
            SliceWeights.read(tmp_path / "weights.csv")


def test_a_table_of_an_older_run_has_no_names_of_slices(tmp_path):
    (tmp_path / "weights.csv").write_text("case,position,label_dense,weight,score\na,0.5,1,0.9,2\na,0.9,0,0.1,-2\n")
    table = SliceWeights.read(tmp_path / "weights.csv")
    assert (table.case, table.unit, table.auroc) == (("a", "a"), ("", ""), 1.0)
