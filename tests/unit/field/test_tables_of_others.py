"""Tables that pandas, R and spreadsheets have written since."""

import math

import numpy as np
import pytest
from tiny_data import save_nifti

from adawac.cli.evaluate import main
from adawac.data.groups import CaseTable
from adawac.data.units import UnitTable
from adawac.errors import ConfigError, DataError
from adawac.evaluation import CaseRow, read_table, write_table
from adawac.report.compare import evaluate

ROW = CaseRow("run_0", "erm", "ct_7", "p3", "liver", "all", "dice", 0.25, "penalise")


@pytest.mark.parametrize("nothing", ["", "NA", "NaN", "#N/A", "null"])
def test_what_is_undefined_is_written_by_each_in_its_own_way(tmp_path, nothing):
    write_table(tmp_path / "cases.csv", [ROW, ROW._replace(case="ct_8", value=math.nan)])
    text = (tmp_path / "cases.csv").read_text()
    assert text.count(",nan,") == 1
    (tmp_path / "cases.csv").write_text(text.replace(",nan,", f",{nothing},") + "\n\n")  # and blank lines at its end
    one, other = read_table(tmp_path / "cases.csv")
    assert (one, other.case) == (ROW, "ct_8")
    assert math.isnan(other.value)


def test_pandas_writes_null_into_parquet(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"class" if name == "class_name" else name: [value] * 2 for name, value in ROW._asdict().items()}
    parquet.write_table(arrow.table(columns | {"value": [0.0, None]}), tmp_path / "cases.parquet")
    zero, undefined = read_table(tmp_path / "cases.parquet")
    assert zero.value == 0
    assert math.isnan(undefined.value)


def test_a_table_without_rows_is_no_run_less(tmp_path):
    write_table(tmp_path / "all.csv", [ROW])
    write_table(tmp_path / "none.csv", [])
    with pytest.raises(DataError, match=r"none\.csv: the case table has no rows; measure the run anew, or leave it"):
        main([f"a={tmp_path / 'none.csv'}", f"b={tmp_path / 'all.csv'}", "-o", str(tmp_path / "report")])


@pytest.mark.parametrize("nothing", ["", "NA", "nan", "N/A"])
def test_a_site_that_is_not_known_is_no_site(tmp_path, nothing):
    table = UnitTable.of_slices(["a", "b"], [[[9, 1]], [[9, 1]]], (3, 3), ("background", "liver"))
    (tmp_path / "sites.csv").write_text(f"case,site\na,Basel\nb,{nothing}\n")
    with pytest.raises(DataError, match="no site for case b; add a line"):
        CaseTable(str(tmp_path / "sites.csv"), "site")(table)


@pytest.mark.parametrize(("holds", "said"), [("config.yaml", "run's case table"), ("cells.csv", "study's results")])
def test_a_report_replaces_no_results(tmp_path, holds, said):
    write_table(tmp_path / "all.csv", [ROW])
    kept = tmp_path / "version_0"
    kept.mkdir()
    (kept / holds).write_text("")
    (kept / "cases.csv").write_text("of a run")
    with pytest.raises(ConfigError, match=f"{said}, which the report's would replace; give a folder of its own"):
        evaluate(tmp_path / "all.csv", kept)
    assert (kept / "cases.csv").read_text() == "of a run"
    assert len(list(kept.iterdir())) == 2


def test_tables_of_sites_are_looked_at_before_anything_is_measured(tmp_path, monkeypatch):
    for folder in ("labels", "predictions"):
        for case in ("a", "b"):
            save_nifti(tmp_path / f"{folder}/{case}.nii.gz", np.eye(8, dtype=np.uint8)[None].repeat(3, 0))

    def measured(*_, **__):
        raise AssertionError("measured")

    monkeypatch.setattr("adawac.report.compare.evaluate_sources", measured)
    sites, given = tmp_path / "sites.csv", {"labels": tmp_path / "labels", "patient_pattern": None}
    for text, columns, said in [
        ("case,site\na,Bern\n", (), "no site for case b; fill it in"),
        ("case,site\na,Bern\nb,Bern\n", ("town",), "needs a column case or patient, and 'town'"),
        ("case,site,site\na,Bern,1\nb,Bern,2\n", (), "the column site comes twice; rename or remove one"),
    ]:
        sites.write_text(text)
        with pytest.raises((ConfigError, DataError), match=said):
            evaluate(tmp_path / "predictions", metadata=sites, group_by=columns, **given)
