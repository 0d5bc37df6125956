import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from adawac.errors import DataError
from adawac.runs.suspects import least_auroc, read_suspects, suspects


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
    assert np.isfinite(least_auroc(np.array(dense, bool)))


def test_a_file_that_is_no_table_of_suspects_is_refused(tmp_path):
    path = tmp_path / "suspects.csv"
    for content in (b"case,score\na,1\n", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"suspects.csv: not readable .* train the run anew"):
            read_suspects(path)


@pytest.mark.parametrize(("dense", "sparse"), [(4, 6), (10, 10), (40, 60), (300, 700)])
def test_scores_that_say_nothing_are_seldom_taken_for_scores_that_separate(dense, sparse):
    """By SciPy's U: of 2000 draws of random scores at most one in twenty passes."""
    rng = np.random.default_rng(dense)
    group = np.arange(dense + sparse) < dense
    least, passed = least_auroc(group), 0
    for _ in range(2000):
        scores = rng.normal(size=len(group))
        passed += mannwhitneyu(scores[group], scores[~group]).statistic / (dense * sparse) >= least
    assert passed <= 0.05 * 2000
    scores = rng.normal(size=len(group)) + 9 * group
    assert mannwhitneyu(scores[group], scores[~group]).statistic / (dense * sparse) >= least
