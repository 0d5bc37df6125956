import pytest

from adawac.errors import DataError
from adawac.weighting.slice_weights import SliceWeights


def test_a_file_that_is_no_table_of_weights_is_refused(tmp_path):
    for content in ("case,weight\na,1\n", "case,unit,position,label_dense,weight,score\na,0,0.5,1,x,2\n"):
        (tmp_path / "weights.csv").write_text(content)
        with pytest.raises(DataError, match=r"weights.csv: not readable .* train the run anew"):
            SliceWeights.read(tmp_path / "weights.csv")
