"""Which cases show one patient: names as public data sets have them, both ways; headers; what may be split so."""

import json
import logging
from collections import defaultdict

import nibabel as nib
import numpy as np
import pytest
from dicom_files import change, write_series
from tiny_data import write_acdc_volumes, write_msd, write_nnunet

from adawac.data.case_names import suggest_patient_pattern
from adawac.data.checkup import check
from adawac.data.datamodule import SegmentationData
from adawac.data.layouts import Folders
from adawac.data.layouts.base import Case
from adawac.data.patients import SuggestedPatients, patients_in, patients_of
from adawac.data.split import Split
from adawac.data.splits import AutoSplit, FileSplit, FoldSplit, FractionSplit, LayoutSplit, SplitRule
from adawac.errors import AdaWACError, ConfigError, DataError


def of(*patients):
    """Names of each patient, in a list each, so that who is who stands beside the names."""
    return list(patients)


SEVERAL = {
    "ACDC": [[f"patient{p:03d}_frame{f:02d}" for f in (1, 12)] for p in range(1, 21)],
    "ACDC with its labels' names": [[f"patient{p:03d}_frame{f:02d}_gt" for f in (1, 12)] for p in range(1, 5)],
    "BIDS": [[f"sub-{p:02d}_ses-{s}_run-{r}" for s in (1, 2) for r in (1, 2)] for p in range(1, 6)],
    "BIDS by letters": [[f"sub-{p}_ses-{s}" for s in (1, 2)] for p in ("a1", "b2", "c3", "d4")],
    "VerSe": of(["sub-verse401_split-verse253_ct", "sub-verse401_split-verse255_ct"], ["sub-gl003_dir-ax_ct"]),
    "M&Ms": [[f"{p}_sa_{e}" for e in ("ED", "ES")] for p in ("A0S9V9", "A1D0Q7", "A2L1N6", "A1L3N6")],
    "M&Ms-2": [[f"{p:03d}_{v}_{e}" for v in ("SA", "LA") for e in ("ED", "ES")] for p in range(1, 9)],
    "BraTS 2023": [[f"BraTS-GLI-{p:05d}-{t:03d}" for t in range(1 + (p % 3 == 0))] for p in range(12)],
    "CHAOS": [[f"{p}_{scan}" for scan in ("T1DUAL_InPhase", "T1DUAL_OutPhase", "T2SPIR")] for p in (1, 2, 3, 5, 8)],
    "ISBI 2015": [[f"training{p:02d}_{t:02d}" for t in range(1, 5)] for p in range(1, 6)],
    "LUMIERE": [[f"Patient-{p:03d}_week-{w:03d}-1" for w in (0, 44, 56)] for p in range(1, 5)],
    "UPENN-GBM": [[f"UPENN-GBM-{p:05d}_{t}" for t in ((11, 21) if p % 7 == 0 else (11,))] for p in range(1, 20)],
    "PI-CAI": [[f"{p}_{990000 + p + k}" for k in ((0, 100) if p % 20 == 0 else (0,))] for p in range(10000, 10040)],
    "PI-CAI, a few": of(["10000_1000000", "10000_1000001"], ["10001_1000002"], ["10005_1000006"]),
    "PI-CAI, two studies each": [[f"{p}_{1000000 + 2 * p + k}" for k in (0, 1)] for p in range(10000, 10005)],
    "PI-CAI, a file a sequence": [
        [f"{p}_{1000000 + p + k}_{s}" for k in ((0, 100) if p % 5 == 0 else (0,)) for s in ("t2w", "adc", "hbv")]
        for p in range(10000, 10008)
    ],
    "PI-CAI, of one sequence": [
        [f"{p}_{1000000 + p + k}_0001" for k in ((0, 100) if p % 5 == 0 else (0,))] for p in range(10000, 10008)
    ],
    "CHAOS, the sequence in front": [[f"{s}_{p}" for s in ("T1DUAL", "T2SPIR")] for p in (1, 2, 3, 5)],
    "CHAOS, in front and behind": [
        [f"{s}_{p}" for s in ("T1DUAL_InPhase", "T1DUAL_OutPhase", "T2SPIR")] + [f"T1DUAL_{p}_InPhase"] for p in (1, 21)
    ],
    "CHAOS, two patients": [[f"MR_{p}_{s}" for s in ("T1in", "T1out", "T2")] for p in (1, 39)],
    "patients behind a sequence": [[f"T{t}_p{chr(97 + p)}" for t in (1, 2)] for p in range(5)],
    "sequences of visits": [[f"case{p}_frame{f}_{s}" for f in (1, 2) for s in ("t1", "t2")] for p in range(4)],
    "autoPET": of(
        ["fdg_0011f3deaf_03-23-2003"],
        ["fdg_01140d52d8_08-13-2005", "fdg_01140d52d8_08-14-2006"],
        ["fdg_0143bab87a_01-01-2001"],
    ),
    "OASIS-3": of(["OAS30001_ses-d0129", "OAS30001_ses-d0757"], ["OAS30002_ses-d0653"]),
    "ADNI": of(["002_S_0295_20060418", "002_S_0295_m12"], ["002_S_0413_20060502"], ["005_S_0223"]),
    "TCGA": of(["TCGA-02-0006_1996.08.23", "TCGA-02-0006_1997.01.01"], ["TCGA-02-0009_1997.06.14"]),
    "MSLesSeg": [[f"P{p}_T{t}" for t in (1, 2, 3)] for p in range(1, 6)],
    "HaN-Seg": [[f"case_{p:02d}_IMG_{m}" for m in ("CT", "MR_T1")] for p in range(1, 9)],
    "COVID-19-CT-Seg": [
        *([f"coronacases_{p:03d}"] for p in range(1, 11)),
        ["radiopaedia_10_85902_1", "radiopaedia_10_85902_3"],
        *([f"radiopaedia_{name}"] for name in ("14_85914_0", "27_86410_0", "29_86490_1", "4_85506_1")),
    ],
    "Duke": [[f"Breast_MRI_{p:03d}_{w}" for w in ("pre", "post_1", "post_2")] for p in range(1, 5)],
    "halves, L and R": [[f"{p:03d}_{s}" for s in "LR"] for p in range(1, 9)],
    "halves, glued": [[f"knee{p}{s}" for s in "LR"] for p in range(1, 9)],
    "halves, in front": [[f"{s}_{p:03d}" for s in ("left", "right")] for p in range(1, 9)],
    "operation": [[f"case{p}-{s}" for s in ("preop", "postop")] for p in range(1, 9)],
    "operation, in two words": [[f"case{p}_{s}_op" for s in ("pre", "post")] for p in range(1, 9)],
    "operation, in front of the number": [[f"study_{w}_{p:03d}" for w in ("pre", "post")] for p in range(1, 5)],
    "scans": [[f"case{p:02d}_scan{s}" for s in (1, 2)] for p in range(1, 9)],
    "times": [[f"{p:03d}_t{s}" for s in (0, 1)] for p in range(1, 9)],
    "letters": [[f"{p:03d}_{s}" for s in "ab"] for p in range(1, 9)],
    "letters, glued": [[f"{p:03d}{s}" for s in "AB"] for p in range(1, 9)],
    "two numbers": of(["p001_1", "p001_2"], ["p002_1"]),
    "two numbers without a letter": of(["001_1", "001_2"], ["002_1"]),
    "two numbers and nnU-Net's channel": [[f"{p:03d}_{v}_0000" for v in (1, 2)] for p in range(1, 5)],
    "a single follow-up": of(["case_1"], ["case_2", "case_2_followup"], ["case_3"]),
    "a single second visit": [*([f"img{p:04d}"] for p in range(8)), ["img0008", "img0008_visit2"]],
    "initials": [[f"{p}_{s}" for s in ("pre", "post")] for p in ("ab", "cd", "ef")],
    "4D": [[f"case{p}_phase{k}0" for k in range(10)] for p in range(1, 11)],
    "slices as volumes": [[f"vol{p:02d}_slice{k}" for k in range(10)] for p in range(3)],
    "days": [[f"mouse{p}_day{d}" for d in (0, 7, 14, 21)] for p in range(3)],
    "dates": [[f"ID{p:03d}_2020{m:02d}15" for m in (1, 6)] for p in range(5)],
    "sites that count alike": [[f"site{s}_patient{p:02d}_visit{v}" for v in (1, 2)] for s in "AB" for p in range(3)],
    "capitals": [[f"PATIENT_{p}-SCAN_{k}" for k in (1, 2)] for p in range(4)],
    "camels": [[f"Patient{p}Frame{f}" for f in (1, 2)] for p in range(1, 5)],
    "phases of contrast": [[f"case_{p:05d}.{c}" for c in ("arterial", "venous")] for p in range(4)],
}

ONE_EACH = {
    "MSD": [f"BRATS_{i:03d}" for i in range(1, 40)],
    "MSD, drawn": ["hippocampus_367", "hippocampus_001", "hippocampus_019"],
    "names behind a scanner": ["3T_anna", "3T_bob", "7T_carl", "7T_dora", "7T_emil"],
    "patients behind a scan": [f"S{t}_p{chr(97 + p)}" for t in (1, 2) for p in range(5)],
    "a sequence each": ["T1_001", "T2_002", "FLAIR_003"],
    "MSD heart": [f"la_{i:03d}" for i in range(3, 30)],
    "MSD liver": [f"liver_{i}" for i in range(40)],
    "KiTS": [f"case_{i:05d}" for i in range(30)],
    "OpenKBP": [f"pt_{i}" for i in (4, 13, 101, 247)],
    "PROMISE12": [f"Case{i:02d}" for i in range(30)],
    "AMOS": [f"amos_{i:04d}" for i in range(30)],
    "TotalSegmentator": [f"s{i:04d}" for i in range(30)],
    "FLARE22": [f"FLARE22_Tr_{i:04d}" for i in range(1, 51)],
    "channels": [f"ABD_{i:03d}_0000" for i in range(30)],
    "BTCV": [f"img{i:04d}" for i in range(1, 40)],
    "ProstateX": [f"ProstateX-{i:04d}" for i in range(30)],
    "LIDC": [f"LIDC-IDRI-{i:04d}" for i in range(30)],
    "LUNG1": [f"LUNG1-{i:03d}" for i in range(30)],
    "NSCLC Radiogenomics": [*(f"R01-{i:03d}" for i in range(60)), *(f"AMC-{i:03d}" for i in range(49))],
    "TCGA": [
        *("TCGA-02-0006", "TCGA-02-0009", "TCGA-06-0119", "TCGA-06-0122", "TCGA-14-0119", "TCGA-19-1789"),
        *("TCGA-76-4932", "TCGA-12-0616", "TCGA-27-1830", "TCGA-08-0350", "TCGA-FG-6688", "TCGA-DU-5849"),
    ],
    "ADNI": ["002_S_0295", "002_S_0413", "005_S_0223", "005_S_0295"],
    "CPTAC": [*(f"C3L-{i:05d}" for i in range(9)), *(f"C3N-{i:05d}" for i in range(9))],
    "Head-Neck-PET-CT": [f"HN-{s}-{i:03d}" for s in ("CHUM", "CHUS", "HGJ", "HMR") for i in range(1, 20)],
    "QIN": ["QIN-HEADNECK-01-0003", "QIN-HEADNECK-01-0024", "QIN-HEADNECK-02-0012", "QIN-HEADNECK-02-0013"],
    "MM-WHS": [f"{m}_train_{i}" for m in ("ct", "mr") for i in range(1001, 1020)],
    "IXI": ["IXI002-Guys-0828-T1", "IXI012-HH-1211-T1", "IXI013-HH-1212-T1"],
    "BraTS 2018": [
        f"Brats18_{i}_1"
        for i in (
            "TCIA08_469",
            "TCIA08_113",
            "CBICA_AAP",
            "2013_0",
            "2013_10",
            "2013_11",
            "TCIA02_430",
            "TCIA02_117",
            "CBICA_ABB",
        )
    ],
    "BraTS 2020": [f"BraTS20_Training_{i:03d}" for i in range(30)],
    "BraTS 2023, first scans": [f"BraTS-GLI-{i:05d}-000" for i in range(30)],
    "EMIDEC": [f"Case_{'NP'[i % 2]}{i:03d}" for i in range(30)],
    "M&Ms": ["A0S9V9", "A1D0Q7", "A1D9Z7", "A2L1N6", "A1L3N6", "A2R4T1", "A1R4V9"],
    "CrossMoDA": [f"crossmoda2023_{h}_{i}_ceT1" for h in ("ldn", "etz", "ukm") for i in range(1, 20)],
    "ISLES": [f"sub-strokecase{i:04d}_ses-0001" for i in range(20)],
    "LiTS": [f"batch{b}_volume-{i}" for b in (1, 2) for i in range(20)],
    "LUNA16": [f"1.3.6.1.4.1.14519.5.2.1.6279.6001.{10**20 + i * 777}" for i in range(20)],
    "I2CVB": [f"{s}_{i}" for s in ("I2CVB", "BIDMC", "UCL", "HK") for i in range(1, 12)],
    "4D-Lung": [f"{100 + i}_HM10395" for i in range(20)],
    "numbers": [f"{i:03d}" for i in range(20)],
    "one letter": [f"A_{i}" for i in range(1, 51)],
    "sites by letter": [f"site{s}_{i:03d}" for s in "ABC" for i in range(20)],
    "sites by number": [f"site{s:02d}_{i:02d}" for s in range(12) for i in range(5)],
    "sites of five digits": [f"{s}_{1000 * s + i}" for s in (10001, 10002) for i in range(6)],
    "sites of a trial": [f"{s}-{i:03d}" for s in (101, 102, 103, 104) for i in range(1, 4)],
    "domains": [f"Domain{d}_{i:02d}" for d in range(1, 7) for i in range(1, 5)],
    "cohorts": [f"LUNG{k}-{i:03d}" for k in (1, 2, 3) for i in range(1, 30)],
    "years": [f"{y}_{i:02d}" for y in range(2010, 2020) for i in range(1, 6)],
    "dates": [f"{y}-{m:02d}-{d:02d}" for y in (2019, 2020) for m in (1, 2, 3) for d in (1, 2, 5)],
    "dates without strokes": [f"{y}{m:02d}{d:02d}" for y in (2019, 2020) for m in (1, 2, 3) for d in (1, 2, 5)],
    "several a day": [f"202001{d:02d}_{k}" for d in range(1, 9) for k in (1, 2)],
    "frames of nobody": [f"frame_{i:03d}" for i in range(30)],
    "scans of nobody": [f"heart_scan_{i}" for i in range(30)],
    "times of nobody": [f"brain_t_{i:03d}" for i in range(30)],
    "the number behind the word": [f"liver_pre_{i:03d}" for i in range(30)],
    "a side each": ["L_001", "R_002", "L_003"],
    "an ending each": ["patient1_a", "patient2_a", "patient3_a", "other"],
    "one": ["a"],
    "none": [],
}


def cases_of(names, split=None):
    return [Case(name, (), ("label",), split) for name in names]


class TestNames:
    @pytest.mark.parametrize("scheme", SEVERAL)
    def test_several_cases_of_a_patient(self, scheme):
        """Whatever order the names come in; a pattern that is written down says the same."""
        patients = SEVERAL[scheme]
        names = [name for group in patients for name in group]
        found = patients_of(names[::-1])
        assert isinstance(found, SuggestedPatients)
        groups = defaultdict(set)
        for name, patient in found.items():
            groups[patient].add(name)
        assert sorted(map(sorted, groups.values())) == sorted(map(sorted, patients))
        assert patients_of(names, found.pattern) == found

    @pytest.mark.parametrize("scheme", ONE_EACH)
    def test_numbers_that_count_patients(self, scheme):
        names = ONE_EACH[scheme]
        assert suggest_patient_pattern(names) is None
        assert patients_of(names) == patients_of(names, None) == {name: name for name in names}


FRAMES = [f"patient{p:03d}_frame{f:02d}" for p in range(1, 11) for f in (1, 12)]
REMEDIES = r"set patient_pattern to '\^\(patient\\d\+\)' .* or to null if every case is a patient of its own"


class TestSplits:
    @pytest.mark.parametrize("rule", [AutoSplit(), FractionSplit(), FoldSplit(), FoldSplit(fold=1, part="test")])
    def test_nothing_is_drawn_by_a_guess(self, rule, tmp_path):
        cases = cases_of(FRAMES)
        with pytest.raises(ConfigError, match=f"patient001_frame01, patient001_frame12 seem to be .*{REMEDIES}"):
            rule.split(tmp_path, cases, patients_in(cases))
        for said in (r"(patient\d+)_", None):
            split = rule.split(tmp_path, cases, patients_in(cases, said))
            assert sorted([*split.train, *split.val, *split.test]) == FRAMES

    def test_validation_cases_are_not_drawn_either(self, tmp_path):
        cases = [*cases_of(FRAMES[:12], "train"), *cases_of(FRAMES[12:], "test")]
        with pytest.raises(ConfigError, match=REMEDIES):
            AutoSplit().split(tmp_path, cases, patients_in(cases))
        assert LayoutSplit().split(tmp_path, cases, patients_in(cases)).test == tuple(FRAMES[12:])  # parts nobody

    def test_what_is_drawn_from_cases_without_doubt_is_drawn(self, tmp_path):
        """The frames all test; of those that remain each is of another patient."""
        singles = [f"patient{p:03d}_frame01" for p in range(20, 30)]
        cases = [*cases_of(singles, "train"), *cases_of(FRAMES, "test")]
        assert AutoSplit().split(tmp_path, cases, patients_in(cases)).test == tuple(FRAMES)

    @pytest.mark.parametrize("rule", ["file", "layout", "own"])
    def test_a_given_split_may_not_part_them(self, rule, tmp_path):
        parted = Split(train=tuple(FRAMES[:7]), val=tuple(FRAMES[7:10]), test=tuple(FRAMES[10:]))
        parted.save(tmp_path / "splits.json")
        cases = [*cases_of(FRAMES[:7], "train"), *cases_of(FRAMES[7:10], "val"), *cases_of(FRAMES[10:], "test")]

        class Own(SplitRule):
            def assign(self, root, cases, patients):
                return parted

        rule = {"file": FileSplit(), "layout": LayoutSplit(), "own": Own()}[rule]
        told = (
            r"patient patient004, by the names of its cases, lies in more than one part \(train: patient004_frame01; "
        )
        with pytest.raises(DataError, match=f"{told}.*move all its cases into one part, or {REMEDIES}"):
            rule.split(tmp_path, cases, patients_in(cases))
        assert rule.split(tmp_path, cases, patients_in(cases, None)) == parted

    def test_a_given_split_that_parts_nobody_stands(self, tmp_path):
        split = Split(train=tuple(FRAMES[:8]), val=tuple(FRAMES[8:10]), test=tuple(FRAMES[10:]))
        split.save(tmp_path / "splits.json")
        cases = cases_of(FRAMES)
        assert AutoSplit().split(tmp_path, cases, patients_in(cases)) == split


class TestDataSets:
    def test_training_data_are_not_drawn_by_a_guess(self, tmp_path, caplog):
        caplog.set_level(logging.INFO)
        root = write_acdc_volumes(tmp_path / "data", cases=8)
        data = SegmentationData(str(root), size=(8, 8), store=str(tmp_path / "store"))
        with pytest.raises(ConfigError, match=REMEDIES):
            data.prepare_data()
        assert not (tmp_path / "store").exists()
        SegmentationData(
            str(root), patient_pattern=r"(patient\d+)_", size=(8, 8), store=str(tmp_path / "store")
        ).prepare_data()
        assert "patients: 8 cases, of 4 patients" in caplog.text

    def test_check_says_it_among_the_problems(self, tmp_path):
        root = write_acdc_volumes(tmp_path / "data", cases=8)
        assert any("split that is drawn must know; set patient_pattern" in each for each in check(root).whole)
        assert not check(root, patient_pattern=r"(patient\d+)_").whole

    def test_the_same_image_twice_is_told_though_names_suggest_one_patient(self, tmp_path):
        """A guess excuses nothing: it may be wrong."""
        root = write_nnunet(tmp_path / "data", cases=6)
        for folder, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
            copy = root / folder / f"pt_1_scan2{ending}.nii.gz"
            copy.write_bytes((root / folder / f"pt_1{ending}.nii.gz").read_bytes())
        listed = json.loads((root / "dataset.json").read_text()) | {"numTraining": 7}
        (root / "dataset.json").write_text(json.dumps(listed))
        split = {"train": ["pt_1", "pt_1_scan2", "pt_2", "pt_3"], "val": ["pt_4"], "test": ["pt_5", "pt_6"]}
        (root / "splits.json").write_text(json.dumps(split))
        assert any("case pt_1_scan2: its image is that of case pt_1" in each for each in check(root).bad)
        data = SegmentationData(str(root), size=(8, 8), store=str(tmp_path / "store"))
        with pytest.raises(DataError, match="case pt_1_scan2: its image is that of case pt_1"):
            data.prepare_data()

    def test_copies_in_different_parts_are_refused_by_training_too(self, tmp_path):
        root = write_msd(tmp_path / "data", cases=5)
        (root / "imagesTr/pt_5.nii.gz").write_bytes((root / "imagesTr/pt_1.nii.gz").read_bytes())
        split = {"train": ["pt_1", "pt_2"], "val": ["pt_3"], "test": ["pt_4", "pt_5"]}
        (root / "splits.json").write_text(json.dumps(split))
        for pattern in ("auto", None):
            data = SegmentationData(str(root), patient_pattern=pattern, size=(8, 8), store=str(tmp_path / "store"))
            with pytest.raises(DataError, match=r"case pt_5: .* case pt_1, voxel for voxel \(train and test\)"):
                data.prepare_data()


class TestHeaders:
    """PatientID of DICOM series: the same is one patient, and is told to nobody."""

    @staticmethod
    def series(root, identifiers):
        rng = np.random.default_rng(0)
        affine = np.diag([-1.0, -1.0, 3.0, 1.0])
        for number, identifier in enumerate(identifiers, start=1):
            voxels = rng.integers(-1000, 1000, (16, 16, 6)).astype(np.float32)
            for file in write_series(root / f"images/ct_{number}", voxels, affine):
                change(file, PatientID=identifier)
            (root / "labels").mkdir(exist_ok=True)
            label = (voxels > 0).astype(np.uint8)
            nib.save(nib.Nifti1Image(label, affine), root / f"labels/ct_{number}.nii.gz")
        return root, Folders().scan(root).cases

    def test_the_same_identifier_is_one_patient(self, tmp_path, capsys):
        root, cases = self.series(tmp_path / "data", ["HUMPTY 1", "HUMPTY 2", "HUMPTY 1", "HUMPTY 3", "HUMPTY 4"])
        found = patients_in(cases)
        assert found == {"ct_1": "ct_1", "ct_2": "ct_2", "ct_3": "ct_1", "ct_4": "ct_4", "ct_5": "ct_5"}
        assert not isinstance(found, SuggestedPatients)  # so that a split may be drawn
        assert patients_in(cases, None)["ct_3"] == "ct_3"
        (root / "splits.json").write_text(json.dumps({"train": ["ct_1", "ct_2"], "test": ["ct_3", "ct_4", "ct_5"]}))
        data = SegmentationData(str(root), size=(8, 8), store=str(tmp_path / "store"))
        with pytest.raises(
            DataError, match=r"patient ct_1 lies in more than one part \(train: ct_1; test: ct_3\)"
        ) as error:
            data.prepare_data()
        assert "HUMPTY" not in str(error.value)

    @pytest.mark.parametrize("identifiers", [["nobody"] * 4, ["same"] * 4, ["", "Anonymous", "0", "anon"]])
    def test_an_identifier_that_was_taken_out_says_nothing(self, identifiers, tmp_path):
        _, cases = self.series(tmp_path, identifiers)
        assert patients_in(cases) == {case.id: case.id for case in cases}

    def test_names_suggest_nothing_where_every_header_says_otherwise(self, tmp_path):
        _, cases = self.series(tmp_path, ["A", "B", "C", "D"])
        renamed = [Case(f"{i // 2:03d}_visit{i % 2}", case.images, case.label) for i, case in enumerate(cases)]
        assert isinstance(patients_of([case.id for case in renamed]), SuggestedPatients)
        assert patients_in(renamed) == {case.id: case.id for case in renamed}


def test_a_pattern_that_fits_nothing_says_that_null_is_possible():
    with pytest.raises(AdaWACError, match=r"finds no patient in a.*or null if every case is a patient"):
        patients_of(["a"], "none")
