"""Groups of the training samples; a table's mistakes are named."""

import numpy as np
import pytest
from weighting_losses import UNITS, N

from adawac.data.groups import CaseTable, Density, OrganPresent, PositionBins
from adawac.errors import ConfigError, DataError


def table(folder, text: str, column: str = "site") -> CaseTable:
    (folder / "sites.csv").write_text(text)
    return CaseTable(str(folder / "sites.csv"), column)


def test_density():
    member, names = Density()(UNITS)
    assert names == ("label-dense", "label-sparse")
    np.testing.assert_array_equal(member == 0, UNITS.dense)


def test_position_bins_are_equal_stretches_of_each_volume():
    member, names = PositionBins(4)(UNITS)
    assert names[0] == "position 0.00 to 0.25"
    np.testing.assert_array_equal(member, np.tile(np.repeat(np.arange(4), 5), 2))


def test_ten_and_more_position_bins_stay_in_order():
    member, names = PositionBins(20)(UNITS)
    assert len(names) == 20
    np.testing.assert_array_equal(member, np.tile(np.arange(20), 2))


def test_organ_present():
    member, names = OrganPresent("liver")(UNITS)
    assert names == ("liver", "no liver")
    np.testing.assert_array_equal(member == 0, UNITS.voxels[:, 1] > 0)


def test_only_groups_that_occur_are_named():
    member, names = Density()(UNITS.take(np.flatnonzero(UNITS.dense)))
    assert names == ("label-dense",)
    assert not member.any()


def test_case_table(tmp_path):
    member, names = table(tmp_path, "site, case\nOslo, a\nBonn, b\nRome, elsewhere\n")(UNITS)
    assert names == ("Bonn", "Oslo")
    np.testing.assert_array_equal(member, np.repeat([1, 0], N // 2))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("case,site\na,Oslo\n", "no site for case b; add a line 'case,site' for each"),
        ("case,site\na,Oslo\nb,\n", "no site for case b; add a line"),
        ("case,scanner\na,Oslo\nb,Bonn\n", "needs a header line 'case,site'"),
        ("case,site\na,Oslo\na,Bonn\nb,Bonn\n", "case a has two values of site; keep one line"),
        ("", "needs a header line 'case,site'"),
    ],
)
def test_bad_tables_are_refused(text, remedy, tmp_path):
    with pytest.raises(DataError, match=remedy):
        table(tmp_path, text)(UNITS)


def test_a_table_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="give the path of a CSV file"):
        CaseTable(str(tmp_path / "none.csv"))(UNITS)


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="give at least 2 stretches"):
        PositionBins(1)
    with pytest.raises(ConfigError, match=r"choose one of \('liver',\)"):
        OrganPresent("spleen")(UNITS)
