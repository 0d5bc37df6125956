import json
import warnings
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from adawac.data.layouts.base import Case
from adawac.data.patients import patients_of
from adawac.data.split import Split
from adawac.data.splits import AutoSplit, FileSplit, FoldSplit, FractionSplit, LayoutSplit, SplitRule
from adawac.errors import ConfigError, DataError

FRAMES = [f"patient{p:03d}_frame{f:02d}" for p in range(1, 21) for f in (1, 12)]
FRAME_PATIENTS = patients_of(FRAMES, r"(patient\d+)_frame")


def cases_of(*ids, split=None):
    return tuple(Case(id=name, images=(Path(f"{name}.nii.gz"),), split=split) for name in ids)


def one_each(cases):
    return patients_of([case.id for case in cases], None)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


class TestPatientsOf:
    def test_without_a_pattern_every_case_is_a_patient(self):
        assert patients_of(["b", "a"], None) == {"b": "b", "a": "a"}

    def test_first_group_or_whole_match(self):
        assert patients_of(["x_p12_day1"], r"p(\d+)") == {"x_p12_day1": "12"}
        assert patients_of(["x_p12_day1"], r"p\d+") == {"x_p12_day1": "p12"}

    @pytest.mark.parametrize("pattern", [r"pt_(\d+)", r"pt_\d+|(scan)"])
    def test_a_case_without_a_patient_is_named(self, pattern):
        with pytest.raises(DataError, match=r"no patient in pt_x; write one that fits every case"):
            patients_of(["scan", "pt_x"] if "scan" in pattern else ["pt_1", "pt_x"], pattern)

    def test_a_broken_expression_is_a_config_error(self):
        with pytest.raises(ConfigError, match=r"not a regular expression .*; write one such as"):
            patients_of(["a"], "(")

    def test_csv(self, tmp_path):
        table = write(tmp_path / "patients.csv", "patient,case,sex\np1,a,f\np1,b,f\np2,c,m\n")
        assert patients_of(["c", "a", "b"], str(table)) == {"c": "p2", "a": "p1", "b": "p1"}

    def test_blanks_around_the_fields_of_a_csv_do_not_count(self, tmp_path):
        table = write(tmp_path / "patients.csv", "case , patient\n\na , p1\nb,p1 \nb,\n")
        assert patients_of(["a", "b"], str(table)) == {"a": "p1", "b": "p1"}

    @pytest.mark.parametrize(
        ("text", "remedy"),
        [
            ("case,patient\na,p1\nb,\n", r"no patient for case b, c; add a line"),
            ("case,who\na,p1\n", r"needs a header line 'case,patient'.*add them"),
            ("case,patient\na,p1\na,p2\n", r"case a has two values of patient; keep one"),
            ("", r"needs a header line"),
        ],
    )
    def test_bad_csv(self, tmp_path, text, remedy):
        table = write(tmp_path / "patients.csv", text)
        with pytest.raises(DataError, match=remedy):
            patients_of(["a", "b", "c"], str(table))

    def test_missing_csv(self, tmp_path):
        with pytest.raises(ConfigError, match=r"none\.csv: cannot be read .*give the path"):
            patients_of(["a"], str(tmp_path / "none.csv"))


class TestSplit:
    def test_a_patient_in_two_parts_is_refused_by_name(self):
        split = Split(train=("a1", "b"), val=("a2",), test=("b",))
        patients = {"a1": "a", "a2": "a", "b": "b"}
        with pytest.raises(DataError) as caught:
            split.check(patients)
        assert "patient a lies in more than one part (train: a1; val: a2); move all its cases" in str(caught.value)
        assert "patient b lies in more than one part (train: b; test: b)" in str(caught.value)

    def test_an_empty_train_is_refused(self):
        with pytest.raises(DataError, match="put at least one case into train"):
            Split(train=(), val=("a",)).check({"a": "a"})

    def test_a_saved_split_is_read_back(self, tmp_path):
        cases = cases_of("a", "b", "c", "d")
        split = Split(train=("a", "c"), val=("b",), test=("d",))
        split.save(tmp_path / "run.json")
        assert FileSplit(str(tmp_path / "run.json")).split(Path("elsewhere"), cases, one_each(cases)) == split


class TestLayoutSplit:
    def test_takes_the_marks(self):
        cases = cases_of("b", "a", split="train") + cases_of("c", split="test")
        assert LayoutSplit().split(Path(), cases, one_each(cases)) == Split(("b", "a"), (), ("c",))

    def test_a_case_without_a_mark_is_an_error(self):
        cases = cases_of("a", split="train") + cases_of("b")
        with pytest.raises(DataError, match=r"whether b is for .* choose FractionSplit, FoldSplit, or FileSplit"):
            LayoutSplit().split(Path(), cases, one_each(cases))

    def test_marks_that_cut_a_patient_are_an_error(self):
        cases = cases_of("p1_a", split="train") + cases_of("p1_b", split="test")
        with pytest.raises(DataError, match="patient p1 lies in more than one part"):
            LayoutSplit().split(Path(), cases, patients_of(["p1_a", "p1_b"], r"p\d"))


class TestFileSplit:
    def test_keeps_the_order_of_the_data(self, tmp_path):
        write(tmp_path / "splits.json", {"train": ["c", "a"], "val": ["b"]})
        cases = cases_of("a", "b", "c")
        assert FileSplit().split(tmp_path, cases, one_each(cases)) == Split(("a", "c"), ("b",), ())

    def test_nnunet_folds(self, tmp_path):
        folds = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["a", "c"], "val": ["b"]}]
        write(tmp_path / "splits_final.json", folds)
        cases = cases_of("a", "b", "c")
        split = FileSplit("splits_final.json", fold=1).split(tmp_path, cases, one_each(cases))
        assert split == Split(("a", "c"), ("b",), ())
        with pytest.raises(ConfigError, match=r"fold is 2, but .* has 2; choose one below that"):
            FileSplit("splits_final.json", fold=2).split(tmp_path, cases, one_each(cases))

    def test_folds_that_nobody_chose_are_said(self, tmp_path):
        folds = [{"train": ["b"], "val": ["a"]}, {"train": ["a"], "val": ["b"]}]
        write(tmp_path / "splits.json", folds)
        cases = cases_of("a", "b")
        (note,) = AutoSplit().split(tmp_path, cases, one_each(cases)).notes
        assert "lists 2 folds, of which the first is read, fold 0; to choose, set data.split to FileSplit" in note
        assert FileSplit(fold=0).split(tmp_path, cases, one_each(cases)).notes == ()
        write(tmp_path / "splits.json", folds[:1])
        assert AutoSplit().split(tmp_path, cases, one_each(cases)).notes == ()

    def test_a_file_that_is_not_read_is_said(self, tmp_path):
        write(tmp_path / "splits_final.json", [{"train": ["b"], "val": ["a"]}])
        cases = cases_of("a", "b", "c")
        (note,) = AutoSplit().split(tmp_path, cases, one_each(cases)).notes
        assert "splits_final.json is not read, as splits.json would be" in note
        assert "set data.split to FileSplit with path splits_final.json" in note

    @pytest.mark.parametrize("names", [("training", "valid", "TEST"), ("Tr", "validation", "testing")])
    def test_other_names_of_parts_and_names_of_files(self, tmp_path, names):
        """nnU-Net and MONAI list files; a case that is called like a file keeps its name."""
        listed = (["imagesTr/a.nii.gz", "b_0000"], ["c_0000.nii.gz"], ["d.nrrd", "e_0000"])
        write(tmp_path / "splits.json", dict(zip(names, listed, strict=True)))
        cases = cases_of("a", "b", "c", "d", "e_0000")
        split = FileSplit().split(tmp_path, cases, one_each(cases))
        assert split == Split(("a", "b"), ("c",), ("d", "e_0000"))

    def test_lists_of_names_are_said(self, tmp_path):
        (tmp_path / "train.txt").write_text("b\n")
        cases = cases_of("a", "b", "c")
        (note,) = AutoSplit().split(tmp_path, cases, one_each(cases)).notes
        assert (
            "train.txt is not read, as splits.json would be; if a split stands there, write it as splits.json" in note
        )

    def test_cases_as_monai_lists_them(self, tmp_path):
        listed = [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in "ab"]
        write(
            tmp_path / "splits.json",
            {"training": listed, "validation": [{"image": ["c_0000.nii.gz", "c_0001.nii.gz"]}]},
        )
        cases = cases_of("a", "b", "c")
        assert FileSplit().split(tmp_path, cases, one_each(cases)) == Split(("a", "b"), ("c",), ())

    def test_a_list_may_name_patients(self, tmp_path):
        write(tmp_path / "splits.json", {"train": ["patient001", "patient002_frame01"], "test": ["patient003"]})
        cases = cases_of(*FRAMES[:6])
        with pytest.warns(UserWarning, match="puts patient002_frame12 into no part: left out"):
            split = FileSplit().split(tmp_path, cases, FRAME_PATIENTS)
        assert split == Split(tuple(FRAMES[:3]), (), tuple(FRAMES[4:6]))

    def test_a_case_in_two_parts_is_an_error(self, tmp_path):
        write(tmp_path / "splits.json", {"train": ["a", "b"], "val": ["b"]})
        cases = cases_of("a", "b")
        with pytest.raises(DataError, match=r"patient b .* move all its cases into one part"):
            FileSplit().split(tmp_path, cases, one_each(cases))

    def test_a_name_that_is_not_in_the_data_is_an_error(self, tmp_path):
        write(tmp_path / "splits.json", {"train": ["a", "ghost"], "val": []})
        cases = cases_of("a")
        with pytest.raises(DataError, match=r"ghost is neither a case nor a patient .* remove the name"):
            FileSplit().split(tmp_path, cases, one_each(cases))

    @pytest.mark.parametrize(
        ("content", "remedy"),
        [
            ({"train": ["a"], "all": ["b"]}, "'all' is no part of a split, .* write it so"),
            ({"train": ["a"], "Training": ["b"]}, "'Training' names the part train again, .* write it so"),
            ({"val": ["a"]}, "write it so"),
            ({"train": "a"}, "train holds 'a', but a split is .*; write it so"),
            ({"train": [31]}, "train holds 31, but a split is .* names are strings; write it so"),
            ({"0": {"train": ["a"]}}, "'0' is no part of a split, .* write it so"),
            ({"train": [{"case": "a"}]}, "train holds None, but a split is .*; write it so"),
            (["a"], "write it so"),
            ("{", "is not valid JSON .* write it so"),
        ],
    )
    def test_a_malformed_file(self, tmp_path, content, remedy):
        write(tmp_path / "splits.json", content)
        with pytest.raises(DataError, match=remedy):
            FileSplit().split(tmp_path, cases_of("a"), {"a": "a"})

    def test_a_missing_file_and_a_negative_fold(self, tmp_path):
        with pytest.raises(ConfigError, match=r"splits\.json cannot be read .*; give the path of a split file"):
            FileSplit().split(tmp_path, cases_of("a"), {"a": "a"})
        with pytest.raises(ConfigError, match="count the folds from 0"):
            FileSplit(fold=-1)


def patients_in(split):
    return [{FRAME_PATIENTS[case] for case in part} for part in (split.train, split.val, split.test)]


class TestFractionSplit:
    def test_shares_are_of_patients_and_every_case_is_used_once(self):
        split = FractionSplit(val=0.15, test=0.2).split(Path(), cases_of(*FRAMES), FRAME_PATIENTS)
        assert [len(part) for part in patients_in(split)] == [13, 3, 4]
        assert sorted(split.train + split.val + split.test) == sorted(FRAMES)

    def test_neither_the_order_nor_the_machine_matters(self):
        split = FractionSplit(seed=3).split(Path(), cases_of(*FRAMES), FRAME_PATIENTS)
        turned = FractionSplit(seed=3).split(Path(), cases_of(*reversed(FRAMES)), FRAME_PATIENTS)
        assert patients_in(split) == patients_in(turned)
        assert split.test == tuple(case for case in FRAMES if case in split.test)
        # Frozen: a new version must not move patients between parts.
        assert patients_in(split)[1] == {"patient011", "patient012", "patient020"}

    def test_another_seed_gives_another_split(self):
        splits = {FractionSplit(seed=s).split(Path(), cases_of(*FRAMES), FRAME_PATIENTS) for s in range(4)}
        assert len(splits) == 4

    def test_at_least_one_patient_in_each_part(self):
        cases = cases_of("a", "b", "c")
        split = FractionSplit(val=0.01, test=0.01).split(Path(), cases, one_each(cases))
        assert (len(split.train), len(split.val), len(split.test)) == (1, 1, 1)
        split = FractionSplit(val=0.0, test=0.0).split(Path(), cases, one_each(cases))
        assert split == Split(("a", "b", "c"))

    def test_too_few_patients(self):
        cases = cases_of("a", "b")
        with pytest.raises(DataError, match=r"1 test and 1 val of 2 patients .* lower val or test"):
            FractionSplit().split(Path(), cases, one_each(cases))

    @pytest.mark.parametrize("wrong", [{"val": -0.1}, {"test": 1.0}, {"val": 15}])
    def test_fractions_out_of_range(self, wrong):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be a share from 0 to below 1"):
            FractionSplit(**wrong)

    def test_fractions_that_leave_nothing(self):
        with pytest.raises(ConfigError, match=r"val 0.5 \+ test 0.5 leaves nothing .* lower them"):
            FractionSplit(val=0.5, test=0.5)


class TestFoldSplit:
    def test_every_patient_validates_once(self):
        splits = [FoldSplit(f, folds=5, test=0.2).split(Path(), cases_of(*FRAMES), FRAME_PATIENTS) for f in range(5)]
        assert len({split.test for split in splits}) == 1
        assert len(patients_in(splits[0])[2]) == 4
        assert sorted(case for split in splits for case in split.val + splits[0].test * (split is splits[0])) == FRAMES
        for split in splits:
            assert sorted(split.train + split.val + split.test) == FRAMES

    def test_every_patient_is_tested_once_and_none_validates(self):
        splits = [FoldSplit(f, part="test").split(Path(), cases_of(*FRAMES), FRAME_PATIENTS) for f in range(5)]
        assert sorted(case for split in splits for case in split.test) == FRAMES
        for split in splits:
            assert split.val == ()
            assert sorted(split.train + split.test) == FRAMES

    @pytest.mark.parametrize(
        ("wrong", "remedy"),
        [
            ({"part": "test", "test": 0.2}, "the fold tests, and so would test 0.2; set test to 0"),
            ({"fold": 5}, "fold must be 0 to 4 with 5 folds, not 5; change it"),
            ({"fold": -1}, "fold must be 0 to 4"),
            ({"folds": 1}, "folds must be 2 or more, not 1; use FractionSplit"),
            ({"test": 1.2}, "test must be a share from 0 to below 1"),
        ],
    )
    def test_settings_out_of_range(self, wrong, remedy):
        with pytest.raises(ConfigError, match=remedy):
            FoldSplit(**wrong)

    def test_more_folds_than_patients(self):
        cases = cases_of("a", "b", "c")
        with pytest.raises(DataError, match=r"5 folds need as many patients, but there are 3 .* lower folds"):
            FoldSplit().split(Path(), cases, one_each(cases))


class TestAutoSplit:
    def test_a_split_file_comes_first(self, tmp_path):
        write(tmp_path / "splits.json", {"train": ["b"], "val": ["a"]})
        cases = cases_of("a", split="train") + cases_of("b", split="test")
        assert AutoSplit().split(tmp_path, cases, one_each(cases)) == Split(("b",), ("a",), ())

    def test_then_the_marks_of_the_layout(self, tmp_path):
        cases = cases_of("a", split="train") + cases_of("b", split="test")
        assert AutoSplit().split(tmp_path, cases, one_each(cases)) == Split(("a",), (), ("b",))
        cases = cases_of("a", "b", split="train") + cases_of("c", split="val")
        assert AutoSplit().split(tmp_path, cases, one_each(cases)) == Split(("a", "b"), ("c",), ())

    def test_where_the_layout_names_train_and_test_whole_patients_of_train_validate(self, tmp_path):
        test = FRAMES[:8]
        cases = [Case(name, (Path(name),), split="test" if name in test else "train") for name in FRAMES]
        split = AutoSplit().split(tmp_path, cases, FRAME_PATIENTS)
        assert split.test == tuple(test)
        assert sorted(split.train + split.val) == FRAMES[8:]
        assert AutoSplit().split(tmp_path, cases[::-1], FRAME_PATIENTS).val == split.val[::-1]
        # Frozen: a new version must not move patients between parts.
        assert patients_in(split)[1] == {"patient008", "patient015"}

    @pytest.mark.parametrize("mark", [None, "train"])
    def test_then_fractions(self, tmp_path, mark):
        cases = cases_of(*FRAMES, split=mark)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            split = AutoSplit().split(tmp_path, cases, FRAME_PATIENTS)
        assert split == FractionSplit().split(tmp_path, cases, FRAME_PATIENTS)


def test_a_rule_is_chosen_by_its_class_name():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--split", type=SplitRule)
    config = parser.parse_object({"split": {"class_path": "FoldSplit", "init_args": {"fold": 2, "folds": 3}}})
    rule = parser.instantiate(config).split
    assert isinstance(rule, FoldSplit)
    assert (rule.fold, rule.folds) == (2, 3)
