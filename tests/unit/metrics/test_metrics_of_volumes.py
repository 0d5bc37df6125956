"""The torchmetrics classes: in a training loop that knows nothing of adawac, in two processes, and against others."""

import math

import numpy as np
import pytest
import torch
from label_volumes import SHAPE, VOLUMES, K, all_of
from medpy.metric import binary
from monai.metrics import DiceMetric, compute_hausdorff_distance, compute_surface_dice
from scipy.stats import mannwhitneyu
from torch.nn.functional import one_hot
from torchmetrics import MetricCollection
from torchmetrics.segmentation import DiceScore

from adawac.errors import ConfigError, DataError
from adawac.evaluation import case_rows, summarise
from adawac.metrics import (
    FalsePositiveSlices,
    GroupDice,
    SeparationAUROC,
    VolumeASSD,
    VolumeDice,
    VolumeHD95,
    VolumeNSD,
    false_positive_slices,
    group_dice,
    separation_auroc,
    volume_assd,
    volume_dice,
    volume_hd95,
    volume_nsd,
)


def channels(labels):
    return one_hot(labels, K).movedim(-1, 0)[None]


class TestDice:
    def test_equals_torchmetrics_and_monai(self):
        theirs, monai = DiceScore(K, include_background=False, average="none"), DiceMetric(include_background=False)
        for preds, target in VOLUMES.values():
            theirs.update(channels(preds), channels(target))
            monai(channels(preds), channels(target))
        torch.testing.assert_close(all_of(VolumeDice(K, reduction="classes")).compute(), theirs.compute())
        torch.testing.assert_close(all_of(VolumeDice(K)).compute(), monai.aggregate().float().squeeze())

    @pytest.mark.parametrize("numbered", [True, False])
    def test_pieces_in_any_order_are_the_volume(self, numbered):
        order = [(case, s) for case in VOLUMES for s in range(SHAPE[0])]
        np.random.default_rng(0).shuffle(order)
        metric = VolumeDice(K, reduction="cases")
        for batch in (order[i : i + 4] for i in range(0, len(order), 4)):
            cases, numbers = [str(case) for case, _ in batch], torch.tensor([int(s) for _, s in batch])
            preds, target = (
                torch.stack([VOLUMES[c][part][int(s)] for c, s in zip(cases, numbers, strict=True)]) for part in (0, 1)
            )
            metric(preds, target, cases, slices=numbers if numbered else None)  # forward: with a value of the batch
        for case, dice in metric.compute().items():
            expected = [binary.dc(*(np.asarray(part) == k for part in VOLUMES[case])) for k in range(1, K)]
            assert dice.tolist() == pytest.approx(expected, abs=1e-6)

    def test_a_slice_that_is_given_twice_counts_once(self):
        preds, target = VOLUMES["ct_0"]
        metric, once = VolumeDice(K), VolumeDice(K)
        once.update(preds, target, "a")
        metric.update(preds, target, "a", slices=range(5))
        metric.update(preds[2:4], target[2:4], ["a", "a"], slices=[2, 3])
        assert metric.compute() == once.compute()

    def test_other_voxels_under_the_same_number_are_refused(self):
        preds, target = VOLUMES["ct_0"]
        metric = VolumeDice(K)
        metric.update(preds[:1], target[:1], ["a"], slices=[0])
        metric.update(preds[1:2], target[1:2], ["a"], slices=[0])
        counts = zip(*(np.bincount(np.asarray(target[i]).ravel(), minlength=K) for i in (0, 1)), strict=True)
        one, other = next((a, b) for a, b in counts if a != b)
        said = f"case a: given twice, and a class holds {one} voxels of one target, {other} of the other.*slices="
        with pytest.raises(DataError, match=said):
            metric.compute()

    def test_a_patient_of_many_cases_counts_once(self):
        metric = VolumeDice(K, reduction="cases")
        by_case = {c: v.mean().item() for c, v in all_of(metric).compute().items()}
        mean = VolumeDice(K)
        for case, patient in zip(VOLUMES, "ppppq", strict=True):
            mean.update(*VOLUMES[case], case, patient=patient)
        *many, last = by_case.values()
        assert mean.compute().item() == pytest.approx((np.mean(many) + last) / 2)

    @pytest.mark.parametrize(("policy", "expected"), [("penalise", 0.5), ("skip", 0.0), ("paper", 0.5)])
    def test_policy_and_classes_that_nothing_holds(self, policy, expected):
        metric = VolumeDice(3, policy=policy, reduction="classes")
        held, empty = torch.tensor([[[0, 1]]]), torch.zeros(1, 1, 2, dtype=torch.int64)
        metric.update(empty, held, "missed")
        metric.update(empty, empty, "nothing there")
        assert metric.compute().tolist() == pytest.approx([expected, math.nan], nan_ok=True)

    def test_ignored_voxels_and_dense_slices(self):
        preds = torch.tensor([[[1, 1, 1]], [[1, 0, 0]], [[1, 1, 1]]])
        target = torch.tensor([[[1, 0, 255]], [[0, 0, 0]], [[255, 255, 255]]])
        metrics = MetricCollection(
            {"all": VolumeDice(2), "dense": VolumeDice(2, slices="dense"), "alarms": FalsePositiveSlices(2)},
            compute_groups=[["all", "dense", "alarms"]],
        )
        metrics.update(preds, target, "a")
        found = {name: value.item() for name, value in metrics.compute().items()}
        assert found == pytest.approx({"all": 2 / 4, "dense": 2 / 3, "alarms": 1})
        assert volume_dice(preds, target, 2).item() == pytest.approx(2 / 4)
        assert volume_dice(preds, target, 2, slices="dense").item() == pytest.approx(2 / 3)
        assert false_positive_slices(preds, target, 2).item() == 1

    def test_means_are_those_of_the_evaluation(self):
        """What validation logged when it went through the case table, to a float32's rounding."""
        rng, names, rows = np.random.default_rng(3), ["background", "a", "b", "c", "d"], []
        dice, dense = (VolumeDice(5, policy="skip", slices=s, reduction="classes") for s in ("all", "dense"))
        alarms = FalsePositiveSlices(5)
        for number in range(9):  # class 4 is nowhere; some cases lack others, some slices are empty or ignored
            target = rng.integers(0, 4, (6, 9, 7)) * (rng.random((6, 1, 1)) < 0.7) * (number != 4)
            target[target == number % 4] = 0
            target[rng.random(target.shape) < 0.1] = 255
            target[number % 6] = 255
            preds = np.where(rng.random(target.shape) < 0.7, target % 255, rng.integers(0, 5, target.shape))
            case, patient = f"ct_{number}", f"p{number // 2}"
            rows += case_rows(case, patient, preds, target, None, names, "skip", surface=False)
            for metric in (dice, dense, alarms):
                metric.update(preds, target, case, patient=patient)
        summary = summarise(rows)
        for metric, group in ((dice, "all"), (dense, "dense")):
            found, expected = metric.compute(), [mean.value for mean in summary.per_class(group=group).values()]
            assert found.tolist() == pytest.approx(expected, abs=1e-7, nan_ok=True)
            assert found.nanmean().item() == pytest.approx(summary.mean(group=group).value, abs=1e-7)
        assert math.isnan(expected[-1])
        share = summary.false_positive_slices
        assert alarms.compute().item() == pytest.approx(share.part / share.whole, abs=1e-7)

    def test_groups_of_cases_and_of_slices(self):
        sites = dict(zip(VOLUMES, ["b", "a", "b", "a", "a"], strict=True))
        metric = GroupDice(K)
        for case, site in sites.items():
            metric.update(*VOLUMES[case], case, site)
        dice = {case: volume_dice(*pair, K).mean().item() for case, pair in VOLUMES.items()}
        expected = {site: np.mean([dice[case] for case in sites if sites[case] == site]) for site in ("a", "b")}
        assert {site: value.item() for site, value in metric.compute().items()} == pytest.approx(expected)
        twin = group_dice(*zip(*VOLUMES.values(), strict=True), list(sites.values()), K)
        assert twin == metric.compute()
        halves = GroupDice(K)
        preds, target = VOLUMES["ct_0"]
        halves.update(preds, target, "a", [0, 0, 1, 1, 1], slices=range(5))
        torch.testing.assert_close(halves.compute()["1"], volume_dice(preds[2:], target[2:], K).mean())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_logits_are_refused_in_words(self, dtype):
        with pytest.raises(DataError, match=r"preds have dtype .*float.*take the argmax of the logits"):
            VolumeDice(K).update(torch.zeros(SHAPE, dtype=dtype), VOLUMES["ct_0"][1], "a")

    def test_a_batch_of_monai_is_refused_with_remedies_that_work(self):
        """(B, 1, Z, Y, X) in float32, masks of classes along the channels, and -100 for what is ignored."""
        preds, target = (
            torch.stack([torch.as_tensor(pair[k]) for pair in VOLUMES.values()]).long()[:, None] for k in (0, 1)
        )
        cases, masks = list(VOLUMES), [one_hot(each[:, 0], K).movedim(-1, 1) for each in (preds, target)]
        due = DiceMetric(include_background=False, reduction="none")(*masks)  # MONAI's; NaN where a class is absent
        metric = VolumeDice(K, reduction="cases", policy="skip")
        with pytest.raises(DataError, match=r"preds have dtype float32.*or \.long\(\) of what"):
            metric.update(preds.float(), target.float(), cases)
        with pytest.raises(DataError, match=r"shape \(1, .*leave out the axis of a single channel \(\[:, 0\]"):
            metric.update(preds.float().long(), target.float().long(), cases)
        with pytest.raises(DataError, match="take the argmax over the channels of masks"):
            metric.update(*(mask.long() for mask in masks), cases)
        for args in ((preds[:, 0], target[:, 0]), [mask.argmax(1) for mask in masks]):
            metric.reset()
            metric.update(*args, cases)
            found = torch.stack(list(metric.compute().values()))
            torch.testing.assert_close(found, due.float(), equal_nan=True)
        metric.reset()
        with pytest.raises(
            DataError, match=r"target, slice 0: .* found -100; .*, or give ignore_index=-100 to leave it"
        ):
            metric.update(preds[:, 0], torch.full_like(target[:, 0], -100), cases)
        with pytest.raises(ConfigError, match="num_classes is 1; count the background, too: 2 where"):
            VolumeDice(1)

    def test_what_does_not_fit_is_refused(self):
        preds, target = VOLUMES["ct_0"]
        with pytest.raises(DataError, match="case: 2 given for 5 samples; give one for each"):
            VolumeDice(K).update(preds, target, ["a", "b"])
        with pytest.raises(DataError, match=r"\(4, 12, 10\) but target has \(5, 12, 10\)"):
            VolumeDice(K).update(preds[:4], target, "a")
        with pytest.raises(DataError, match="case a: target, slice 0: class indices must be 0 to 1, found 3"):
            VolumeDice(2).update(preds % 2, target, "a")
        for wrong in ({"policy": "none"}, {"classes": [4]}, {"reduction": "sum"}, {"slices": "sparse"}):
            with pytest.raises(ConfigError, match=r"unknown; choose|classes \[4\] of 4"):
                VolumeDice(K, **wrong)


class TestDistances:
    SPACING = (3.0, 0.75, 0.9)

    def monai(self, function, *args, **kwargs):
        found = [
            function(channels(preds), channels(target), *args, include_background=False, spacing=self.SPACING, **kwargs)
            for preds, target in VOLUMES.values()
        ]
        return torch.cat(found).mean(0).float()

    def test_equal_monai_and_medpy(self):
        metrics = [
            VolumeHD95(K, "max", reduction="classes"),
            VolumeASSD(K, reduction="classes"),
            VolumeNSD(K, 1.0, reduction="classes"),
            VolumeHD95(K, reduction="classes"),
        ]
        largest, assd, nsd, pooled = (all_of(metric, spacing=self.SPACING).compute() for metric in metrics)
        torch.testing.assert_close(largest, self.monai(compute_hausdorff_distance, percentile=95))
        torch.testing.assert_close(nsd, self.monai(compute_surface_dice, [1.0] * (K - 1)))
        medpy = np.mean(
            [
                [
                    [of(np.asarray(p) == k, np.asarray(t) == k, self.SPACING) for k in range(1, K)]
                    for of in (binary.hd95, binary.assd)
                ]
                for p, t in VOLUMES.values()
            ],
            axis=0,
        )
        assert pooled.tolist() == pytest.approx(medpy[0], rel=1e-6)
        assert assd.tolist() == pytest.approx(medpy[1], rel=1e-6)

    def test_affine_batch_and_twins(self):
        axes = np.diag([*self.SPACING, 1.0])
        axes[:3, 3] = -120, 7, 60
        metric, plain = VolumeHD95(K, reduction="cases"), VolumeHD95(K, reduction="cases")
        preds, target = (torch.stack([pair[part] for pair in VOLUMES.values()]) for part in (0, 1))
        metric.update(preds, target, list(VOLUMES), torch.as_tensor(np.stack([axes] * 5)))
        all_of(plain, spacing=self.SPACING)
        for case, expected in plain.compute().items():
            pair = VOLUMES[case]
            assert torch.equal(metric.compute()[case], expected)
            assert torch.equal(volume_hd95(*pair, K, self.SPACING), expected)
        for kind, twin in ((VolumeASSD, volume_assd), (VolumeNSD, volume_nsd)):
            found = all_of(kind(K, reduction="cases"), ["ct_3"], spacing=self.SPACING).compute()["ct_3"]
            assert torch.equal(twin(*VOLUMES["ct_3"], K, self.SPACING), found)

    def test_a_part_is_no_volume(self):
        preds, target = VOLUMES["ct_0"]
        metric = VolumeASSD(K)
        metric.update(preds[:2], target[:2], "a")
        metric.update(preds[2:], target[2:], "a")
        with pytest.raises(DataError, match="case a: given twice"):
            metric.compute()

    def test_one_spacing_for_several_volumes_is_refused(self):
        preds, target = (torch.stack([VOLUMES[case][part] for case in ("ct_0", "ct_1")]) for part in (0, 1))
        with pytest.raises(DataError, match="spacing: 3 given for 2 volumes; give one for each"):
            VolumeNSD(K).update(preds, target, ["a", "b"], self.SPACING)


class TestAUROC:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
    def test_equals_the_u_statistic(self, dtype):
        rng = np.random.default_rng(0)
        dense = torch.as_tensor(rng.random(80) < 0.4)
        scores = torch.as_tensor(rng.normal(dense.numpy() * 1.0) * 20).to(dtype)
        metric = SeparationAUROC()
        for rows in (slice(0, 30), slice(20, 80)):  # ten of them twice
            metric.update(scores[rows], dense[rows], torch.arange(80)[rows])
        u = mannwhitneyu(scores[dense].double().numpy(), scores[~dense].double().numpy()).statistic
        expected = u / (dense.sum() * (~dense).sum()).item()
        assert metric.compute().item() == pytest.approx(expected)
        assert separation_auroc(scores, dense) == pytest.approx(expected)

    def test_what_does_not_fit_is_refused(self):
        scores = torch.tensor([1.0, math.nan])
        with pytest.raises(DataError, match="1 of 2 scores are NaN; leave"):
            SeparationAUROC().update(scores, scores > 0)
        with pytest.raises(DataError, match="dense has dtype int64; give bool"):
            SeparationAUROC().update(scores, torch.tensor([0, 1]))
