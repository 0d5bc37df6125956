import numpy as np
import pytest

from adawac.errors import DataError
from adawac.runs.suspects import read_suspects, suspects


def found(scores, dense):
    return suspects(np.array(scores), np.array(dense, bool)).tolist()


def test_label_sparse_slices_above_half_of_the_dense_are_suspects_the_hardest_first():
    assert found([1.0, 2.0, 3.0, 2.0, 2.1, 9.0, -5.0], [1, 1, 1, 0, 0, 0, 0]) == [
        5,
        4,
    ]  # that at the median, 3, is none


@pytest.mark.parametrize("dense", [[0, 0], [1, 1]])
def test_with_one_group_alone_nothing_is_suspect(dense):
    assert found([1.0, 2.0], dense) == []


def test_a_file_that_is_no_table_of_suspects_is_refused(tmp_path):
    path = tmp_path / "suspects.csv"
    for content in (b"case,score\na,1\n", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"suspects.csv: not readable .* train the run anew"):
            read_suspects(path)
