import numpy as np
import pytest

from adawac.errors import DataError
from adawac.weighting.slice_weights import SliceWeights


def test_a_file_that_is_no_table_of_weights_is_refused(tmp_path):
    for content in ("case,weight\na,1\n", "case,unit,position,label_dense,weight,score\na,0,0.5,1,x,2\n"):
        (tmp_path / "weights.csv").write_text(content)
        with pytest.raises(DataError, match=r"weights.csv: not readable .* train the run anew"):
            SliceWeights.read(tmp_path / "weights.csv")


def table(scores, dense):
    names = tuple(str(number) for number in range(len(scores)))
    return SliceWeights(
        ("pt_1",) * len(scores),
        names,
        np.linspace(0, 1, len(scores)),
        np.array(dense, bool),
        np.zeros(len(scores)),
        np.array(scores),
    )


def test_label_sparse_slices_above_half_of_the_dense_are_suspects_the_hardest_first():
    found = table([1.0, 2.0, 3.0, 2.0, 2.1, 9.0, -5.0], [1, 1, 1, 0, 0, 0, 0]).suspects
    assert found == ["pt_1:5", "pt_1:4"]  # that at the median, 3, is none


def test_one_weight_for_each_group_points_at_no_slice():
    assert table([0.7, 0.7, 0.7, 1.7, 1.7], [1, 1, 1, 0, 0]).suspects == []
    assert table([0.7, 0.6, 0.7, 1.7], [1, 1, 1, 0]).suspects == ["pt_1:3"]


@pytest.mark.parametrize("dense", [[0, 0], [1, 1]])
def test_with_one_group_alone_nothing_is_suspect(dense):
    assert table([1.0, 2.0], dense).suspects == []
