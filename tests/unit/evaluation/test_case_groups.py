"""Groups of slices and of cases: worst group, gap and empty masks, worked out on paper."""

import math

import pytest

from adawac.errors import ConfigError, DataError
from adawac.evaluation import (
    SIZE_GROUPS,
    CaseRow,
    Metadata,
    case_rows,
    metadata_rows,
    position_groups,
    read_metadata,
    size_rows,
    summarise_groups,
    voxel_volumes,
)

CLASSES = ("background", "liver", "spleen")

# Three cases of four slices of 1 x 4 voxels, 1 x 1 x 1 mm; 1 liver, 2 spleen. Two stretches: slices 0 1 and 2 3.
#
#          case a, Aachen        case b, Bonn          case c, Bonn
#        preds    target       preds    target       preds    target
#   0   0 0 0 0   0 0 0 0     0 0 0 0   0 0 2 2     0 0 0 0   0 0 0 0
#   1   1 1 0 0   1 1 0 0     1 0 0 0   1 1 0 0     0 1 1 0   0 1 1 0
#   2   1 0 0 0   1 1 0 0     1 1 0 0   1 1 1 1     0 0 0 0   0 0 0 0
#   3   0 0 2 0   0 0 0 0     0 0 0 0   0 0 0 0     0 0 0 0   0 0 0 0
PREDS = {
    "a": [[[0, 0, 0, 0]], [[1, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 2, 0]]],
    "b": [[[0, 0, 0, 0]], [[1, 0, 0, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]],
    "c": [[[0, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]],
}
TARGET = {
    "a": [[[0, 0, 0, 0]], [[1, 1, 0, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]],
    "b": [[[0, 0, 2, 2]], [[1, 1, 0, 0]], [[1, 1, 1, 1]], [[0, 0, 0, 0]]],
    "c": [[[0, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]],
}
SITES = Metadata("site", "case", {"a": "Aachen", "b": "Bonn", "c": "Bonn", "d": "Celle"})
DIAGONAL = math.sqrt(4**2 + 1 + 4**2)


def table(policy="penalise", spacing=None):
    found = []
    for case in PREDS:
        voxel = spacing[case] if spacing else (1, 1, 1)
        found += case_rows(case, f"patient {case}", PREDS[case], TARGET[case], voxel, CLASSES, policy)
    return found


def positions(policy="penalise", count=2, cases=PREDS):
    return [
        row
        for case in cases
        for row in case_rows(case, f"patient {case}", PREDS[case], TARGET[case], None, CLASSES, policy, positions=count)
        if row.group.startswith("position")
    ]


class TestSites:
    # Whole volumes:  liver Dice        spleen Dice, penalise and paper | skip
    #   a, Aachen     2*3/(3+4) = 6/7   false alarm, 0 | 0
    #   b, Bonn       2*3/(3+6) = 2/3   missed, 0 | 0
    #   c, Bonn       1                 both empty, 1 | left out
    #
    # Aachen: (6/7 + 0) / 2 = 3/7 = 0.429 under each policy.
    # Bonn:   liver (2/3 + 1) / 2 = 5/6; spleen (0 + 1) / 2 = 1/2, or 0 with c left out:
    #         (5/6 + 1/2) / 2 = 2/3, or (5/6 + 0) / 2 = 5/12 = 0.417.
    # So the policy decides who is worst: Aachen, 2/3 - 3/7 = 5/21 behind, or Bonn, 3/7 - 5/12 = 1/84 behind.
    @pytest.mark.parametrize(
        ("policy", "bonn", "worst", "gap"),
        [("penalise", 2 / 3, "Aachen", 5 / 21), ("paper", 2 / 3, "Aachen", 5 / 21), ("skip", 5 / 12, "Bonn", 1 / 84)],
    )
    def test_mean_worst_group_and_gap(self, policy, bonn, worst, gap):
        found = summarise_groups(metadata_rows(table(policy), SITES), SITES.groups)
        assert [group.name for group in found.groups] == ["site: Aachen", "site: Bonn", "site: Celle"]
        assert [group.mean for group in found.groups] == pytest.approx([3 / 7, bonn, math.nan], nan_ok=True)
        assert found.mean == pytest.approx((3 / 7 + bonn) / 2)  # of the groups with cases
        assert found.worst.name == f"site: {worst}"
        assert found.gap == pytest.approx(gap)

    def test_an_absent_group_keeps_its_place_with_n_0(self):
        found = summarise_groups(metadata_rows(table(), SITES), SITES.groups)
        assert [(group.name[6:], group.n, group.left_out) for group in found.groups] == [
            ("Aachen", 1, 0),
            ("Bonn", 2, 0),
            ("Celle", 0, 0),
        ]

    def test_one_class_and_the_cases_that_it_leaves_out(self):
        # spleen, skip: Aachen 0 of case a; Bonn 0 of case b, and c left out
        found = summarise_groups(metadata_rows(table("skip"), SITES), SITES.groups, class_name="spleen")
        assert [(group.mean, group.n, group.left_out) for group in found.groups[:2]] == [(0, 1, 0), (0, 1, 1)]
        assert found.gap == 0

    # HD95 (pooled), mm, lower is better. Every voxel is surface.
    #   liver a: preds -> target 0 0 0; back 0 0 0 1. Pooled, place 0.95 * 6 = 5.7: 0.7.
    #   liver b: there 0 0 0; back 0 1 0 0 1 2. Pooled 0 0 0 0 0 0 1 1 2, place 0.95 * 8 = 7.6: 1 + 0.6 = 1.6.
    #   liver c: 0. spleen a and b: the diagonal sqrt(33), or 0 under `paper`; c: 0.
    # Aachen (0.7 + sqrt(33)) / 2 = 3.2, Bonn (0.8 + sqrt(33) / 2) / 2 = 1.8: Aachen is worst. Where nothing found
    # costs nothing, 0.35 against 0.4: Bonn is.
    @pytest.mark.parametrize(
        ("policy", "aachen", "bonn", "worst"),
        [
            ("penalise", (0.7 + DIAGONAL) / 2, (0.8 + DIAGONAL / 2) / 2, "site: Aachen"),
            ("paper", 0.35, 0.4, "site: Bonn"),
        ],
    )
    def test_of_a_distance_the_longest_is_worst(self, policy, aachen, bonn, worst):
        found = summarise_groups(metadata_rows(table(policy), SITES), SITES.groups, "hd95_mm")
        assert [group.mean for group in found.groups[:2]] == pytest.approx([aachen, bonn])
        assert found.worst.name == worst
        assert found.gap == pytest.approx(abs(aachen - bonn))

    def test_without_any_group_there_is_no_worst(self):
        found = summarise_groups(table(), ["site: Delft"])
        assert found.worst is None
        assert math.isnan(found.mean)
        assert math.isnan(found.gap)

    def test_of_one_group_alone_there_is_no_worst_and_no_gap(self):
        """A gap of 0 would say that no other lies behind, of which nothing is known."""
        found = summarise_groups(metadata_rows(table(), SITES), ["site: Bonn", "site: Celle"])
        whole = summarise_groups(metadata_rows(table(), SITES), SITES.groups)
        assert found.mean == found.groups[0].mean == whole.groups[1].mean
        assert found.worst is None
        assert math.isnan(found.gap)

    def test_a_metric_without_direction_has_no_worst_group(self):
        with pytest.raises(ConfigError, match=r"volume_error.*choose one with a direction, as dice or hd95_mm"):
            summarise_groups(metadata_rows(table(), SITES), SITES.groups, "volume_error")

    def test_patients_are_groups_too(self):
        patients = Metadata("patient", "patient", {f"patient {case}": case for case in PREDS})
        found = summarise_groups(metadata_rows(table(), patients), patients.groups)
        assert [group.mean for group in found.groups] == pytest.approx([3 / 7, 1 / 3, 1])
        assert found.worst.name == "patient: b"


class TestPositions:
    # Dice       first half           second half
    #   liver    a 1, b 2/3, c 1      a 2*1/(1+2) = 2/3, b 2*2/(2+4) = 2/3, c both empty
    #   spleen   a both empty,        a false alarm 0, b both empty, c both empty
    #            b missed 0, c empty
    # penalise: first half  (8/9 + 2/3) / 2 = 7/9; second half (7/9 + 2/3) / 2 = 13/18, worst, 1/18 behind
    # skip:     first half  (8/9 + 0) / 2 = 4/9;   second half (2/3 + 0) / 2 = 1/3, worst, 1/9 behind
    @pytest.mark.parametrize(("policy", "means"), [("penalise", (7 / 9, 13 / 18)), ("skip", (4 / 9, 1 / 3))])
    def test_halves_are_worked_out_by_hand(self, policy, means):
        found = summarise_groups(positions(policy), position_groups(2))
        assert [group.mean for group in found.groups] == pytest.approx(means)
        assert found.worst.name == "position 2 of 2"
        assert found.gap == pytest.approx(means[0] - means[1])

    def test_voxels_of_the_stretches_add_up_to_the_volume(self):
        whole = {(r.case, r.class_name, r.metric): r.value for r in table() if r.group == "all"}
        stretches = positions(count=3)
        for metric in ("predicted_voxels", "reference_voxels"):
            for case in PREDS:
                for name in CLASSES[1:]:
                    parts = [r.value for r in stretches if (r.case, r.class_name, r.metric) == (case, name, metric)]
                    assert len(parts) == 3
                    assert sum(parts) == whole[case, name, metric]

    def test_slices_fall_where_their_centres_lie(self):
        # of 4 slices the centres lie at 1/8 3/8 5/8 7/8; of three stretches the middle one is 1/3 to 2/3
        slices = {row.group: row.value for row in positions(count=3, cases=["a"]) if row.metric == "slices"}
        assert list(slices.values()) == [1, 2, 1]

    def test_more_stretches_than_slices_leave_some_without(self):
        rows = positions(count=5, cases=["a"])
        # centres at 0.125 0.375 0.625 0.875: the third of five, 0.4 to 0.6, has none
        assert [row.value for row in rows if row.metric == "slices"] == [1, 1, 0, 1, 1]
        assert all(math.isnan(r.value) for r in rows if r.group == "position 3 of 5" and r.metric == "dice")
        found = summarise_groups(rows, position_groups())
        assert (found.groups[2].n, found.groups[2].left_out) == (0, 1)
        # liver 1 (both empty), 1, none, 2/3, 1 (both empty); the spleen counts nowhere, as case a has none
        assert [group.mean for group in found.groups] == pytest.approx([1, 1, math.nan, 2 / 3, 1], nan_ok=True)
        assert found.worst.name == "position 4 of 5"

    def test_errors(self):
        with pytest.raises(ConfigError, match="count is 0; give at least 1 stretch"):
            positions(count=0)
        with pytest.raises(DataError, match=r"case ct_7: .*predict on the grid of the label"):
            case_rows("ct_7", "p", PREDS["a"][:2], TARGET["a"], None, CLASSES)


class TestSizes:
    # liver in the reference: a 4, b 6, c 2 voxels; a third and two thirds of the way lie 10/3 and 14/3:
    # c small, a middle, b large. spleen: only b has it, a third of one case is the first.
    def test_thirds_are_worked_out_by_hand(self):
        dice = {(r.group, r.class_name): r.value for r in size_rows(table()) if r.metric == "dice"}
        assert [dice[group, "liver"] for group in SIZE_GROUPS[:3]] == pytest.approx([1, 6 / 7, 2 / 3])
        spleen = [(r.case, r.group) for r in size_rows(table()) if (r.metric, r.class_name) == ("dice", "spleen")]
        assert spleen == [("a", "organ absent"), ("b", "size 1 of 3"), ("c", "organ absent")]
        found = summarise_groups(size_rows(table("skip")), SIZE_GROUPS)
        # small: liver 1 and spleen 0; middle liver 6/7; large liver 2/3; absent: spleen of a 0, of c left out
        assert [group.mean for group in found.groups] == pytest.approx([1 / 2, 6 / 7, 2 / 3, 0])
        assert [group.n for group in found.groups] == [2, 1, 1, 1]
        assert found.groups[3].left_out == 1

    def test_voxels_of_different_size_are_compared_by_volume(self):
        spacing = {"a": (1, 1, 1), "b": (1, 1, 1), "c": (5, 2, 1)}  # c's liver is 20 mm^3, the largest
        rows = table(spacing=spacing)
        assert voxel_volumes(rows) == {"a": 1, "b": 1, "c": 10}
        groups = {r.case: r.group for r in size_rows(rows) if r.class_name == "liver"}
        assert groups == {"c": "size 3 of 3", "b": "size 2 of 3", "a": "size 1 of 3"}

    def test_voxels_are_compared_where_a_spacing_is_unknown(self):
        rows = table(spacing={"a": None, "b": (1, 1, 1), "c": (5, 2, 1)})
        assert voxel_volumes(rows) is None
        groups = {r.case: r.group for r in size_rows(rows) if r.class_name == "liver"}
        assert groups == {"c": "size 1 of 3", "a": "size 2 of 3", "b": "size 3 of 3"}

    def test_equal_sizes_are_in_one_group(self):
        row = CaseRow("0", "erm", "a", "a", "liver", "all", "reference_voxels", 5.0, "skip")
        rows = [row._replace(case=case, value=value) for case, value in zip("abcd", (5, 5, 5, 9), strict=True)]
        assert [each.group for each in size_rows(rows)] == ["size 1 of 3"] * 3 + ["size 3 of 3"]

    def test_hashes_go_with_the_rows(self):
        rows = [row._replace(data_hash=row.case * 12) for row in table()]
        assert {(row.case, row.data_hash) for row in size_rows(rows)} == {(case, case * 12) for case in "abc"}

    def test_errors(self):
        rows = table()
        with pytest.raises(DataError, match="case a: no reference_voxels of liver; write the table with `case_rows`"):
            size_rows([row for row in rows if row.metric != "reference_voxels"])
        other = [row._replace(run="1", value=row.value + (row.metric == "reference_voxels")) for row in rows]
        with pytest.raises(DataError, match=r"runs differ about the size of liver .*evaluate all runs with the same"):
            size_rows(rows + other)


class TestMetadata:
    def read(self, tmp_path, text, column="site"):
        (tmp_path / "meta.csv").write_text(text, encoding="utf-8")
        return read_metadata(tmp_path / "meta.csv", column)

    def test_a_column_by_case_or_by_patient(self, tmp_path):
        by_case = self.read(tmp_path, "case,scanner,site\na, X ,Aachen\nb,Y,Bonn\nb,Y,Bonn\n")
        assert by_case == Metadata("site", "case", {"a": "Aachen", "b": "Bonn"})
        by_patient = self.read(tmp_path, "\ufeffpatient, site\npatient a,Aachen\n")  # as Excel writes it
        assert by_patient == Metadata("site", "patient", {"patient a": "Aachen"})
        assert {r.group for r in metadata_rows(table()[:5], by_patient)} == {"site: Aachen"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name,site\na,x\n", "needs a column case or patient, and 'site', found name, site; add it"),
            ("case,centre\na,x\n", "and 'site', found case, centre; add it"),
            ("", "found no header; add it"),
            ("case,site\na,x\na,y\n", "case a has two values of site; keep one line for it"),
        ],
    )
    def test_what_is_wrong_with_a_table_is_named(self, tmp_path, text, message):
        with pytest.raises(DataError, match=message):
            self.read(tmp_path, text)

    @pytest.mark.parametrize("line", ["b,", "b", "b, ", ",Celle", "b,nan", "b,NaN"])
    def test_empty_fields_matter_only_where_a_case_is_tested(self, tmp_path, line):
        site = self.read(tmp_path, f"case,site\na,Aachen\nc,Bonn\n{line}\n")
        assert site.groups == ("site: Aachen", "site: Bonn")
        assert len(metadata_rows([row for row in table() if row.case != "b"], site)) > 0
        with pytest.raises(DataError, match="metadata: no site for case b; fill it in"):
            metadata_rows(table(), site)

    def test_a_missing_table_is_named(self, tmp_path):
        with pytest.raises(ConfigError, match=r"none\.csv: cannot be read .*give the path of a CSV file"):
            read_metadata(tmp_path / "none.csv", "site")

    def test_numbers_stand_by_their_size(self):
        found = Metadata("age", "case", {"a": "9", "b": "10", "c": "100", "d": "10"})
        assert found.groups == ("age: 9", "age: 10", "age: 100")

    def test_cases_without_metadata_are_named(self):
        with pytest.raises(DataError, match="metadata: no site for case b, c; fill it in for each"):
            metadata_rows(table(), Metadata("site", "case", {"a": "Aachen"}))

    def test_a_table_that_calls_all_cases_otherwise_is_quoted(self):
        """As Excel leaves of 001 and 002."""
        with pytest.raises(DataError, match=r"no site for case a, b, c \(the table calls them 1, 2\); fill it in"):
            metadata_rows(table(), Metadata("site", "case", {"1": "Aachen", "2": "Bonn"}))
