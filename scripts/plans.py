"""What `adawac init` plans for data sets that the field knows, beside what nnU-Net v2's own planner makes of them.

    python scripts/plans.py                       # ours anew; nnU-Net's stay as they were written
    pip install nnunetv2 && python scripts/plans.py --nnunet    # both
    python scripts/plans.py --memory              # and what steps take, each in a process of its own; a minute

Fingerprints are medians of the training cases, as published with the data or in plans that nnU-Net ships; every case is
taken to be like them. A fifth of the cases of thick slices has thinner ones, so that the tenth percentile, to which
nnU-Net resamples such data, is what it is in its published plans. Nothing is trained.
"""

import argparse
import json
import os
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from adawac.data.fingerprint import ClassFacts, Fingerprint, Percentiles, Spread
from adawac.training.plan import make_plan

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs/results/plans.json"
MEMORY = 8.0
"""GiB: nnU-Net's default."""

DATA_SETS: dict[str, tuple[int, tuple[int, int, int], tuple[float, float, float], float, str, int, int]] = {
    "Hippocampus (MSD 04)": (260, (36, 50, 35), (1.0, 1.0, 1.0), 1.0, "mr", 1, 2),
    "Heart (MSD 02)": (20, (115, 320, 320), (1.37, 1.25, 1.25), 1.37, "mr", 1, 1),
    "Spleen (MSD 09)": (41, (90, 512, 512), (5.0, 0.79, 0.79), 1.6, "ct", 1, 1),
    "Hepatic vessel (MSD 08)": (303, (49, 512, 512), (5.0, 0.8, 0.8), 1.5, "ct", 1, 2),
    "Prostate (MSD 05)": (32, (20, 320, 320), (3.6, 0.62, 0.62), 3.6, "mr", 2, 2),
    "Brain tumour (MSD 01)": (484, (138, 169, 138), (1.0, 1.0, 1.0), 1.0, "mr", 4, 3),
    "ACDC": (200, (9, 256, 216), (10.0, 1.56, 1.56), 5.0, "mr", 1, 3),
    "AMOS 2022": (360, (103, 512, 512), (5.0, 0.71, 0.71), 2.0, "ct", 1, 15),
    "KiTS 2023": (489, (107, 512, 512), (3.0, 0.78, 0.78), 1.0, "ct", 1, 3),
}
"""Cases, median voxels and mm along (z, y, x), tenth percentile of mm along z, modality, channels, classes."""


def fingerprint(name: str) -> Fingerprint:
    """As `adawac init` would measure it, where labels reach to the edges of the planes."""
    cases, shape, spacing, _, modality, channels, classes = DATA_SETS[name]
    return Fingerprint(
        num_cases=cases,
        num_slices=cases * shape[0],
        channels=tuple(map(str, range(channels))),
        modality=modality,  # type: ignore[arg-type]  # they are
        classes=tuple(ClassFacts(str(k), cases, 1, 1, None) for k in range(classes)),
        shape=Spread.of([shape]),
        spacing=Spread.of([spacing]),
        reach=Spread.of([np.multiply(shape, spacing)]),
        intensities=(Percentiles(0, 1, 2),) * channels,
        dense=0.5,
        dense_thirds=(0.5, 0.5, 0.5),
        ignored=0,
        window=None,
        side_pairs={},
    )


def ours(name: str) -> dict[str, Any]:
    """Our plans, of slices and of patches."""
    plans = {}
    for kind, patches in (("2d", False), ("3d", True)):
        plan = make_plan(fingerprint(name), MEMORY, patches, "gpu")
        plans[kind] = {
            "patch": plan.patch or plan.size,
            "spacing": plan.spacing,
            "batch": plan.batch_size,
            "channels": plan.network.channels,
            "memory": round(plan.memory, 2),
        }
    return json.loads(json.dumps(plans))  # type: ignore[no-any-return]


def nnunets(name: str) -> dict[str, Any]:
    """What nnU-Net's planner, as installed, makes of it."""
    folder = Path(tempfile.mkdtemp())
    for part in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{part}"] = str(folder / part)
    from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner as planning

    cases, shape, spacing, thin, modality, channels, classes = DATA_SETS[name]
    data_set = "Dataset001_Known"
    planning.nnUNet_raw, planning.nnUNet_preprocessed = str(folder / "raw"), str(folder / "preprocessed")
    planning.maybe_convert_to_dataset_name = lambda _: data_set
    for part in ("imagesTr", "labelsTr"):
        (folder / "raw" / data_set / part).mkdir(parents=True)
    (folder / "preprocessed" / data_set).mkdir(parents=True)
    (folder / "raw" / data_set / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {str(k): "CT" if modality == "ct" else "MRI" for k in range(channels)},
                "labels": {"background": 0} | {f"class{k}": k for k in range(1, classes + 1)},
                "numTraining": cases,
                "file_ending": ".nii.gz",
                "overwrite_image_reader_writer": "NibabelIO",
            }
        )
    )
    for k in range(channels):
        (folder / "raw" / data_set / f"imagesTr/a_{k:04d}.nii.gz").touch()
    (folder / "raw" / data_set / "labelsTr/a.nii.gz").touch()
    fifth = cases // 5
    thinner = (round(shape[0] * spacing[0] / thin), *shape[1:])
    (folder / "preprocessed" / data_set / "dataset_fingerprint.json").write_text(
        json.dumps(
            {
                "spacings": [(thin, *spacing[1:])] * fifth + [spacing] * (cases - fifth),
                "shapes_after_crop": [thinner] * fifth + [shape] * (cases - fifth),
                "foreground_intensity_properties_per_channel": {},
                "median_relative_size_after_cropping": 1.0,
            }
        )
    )
    configurations = planning.ExperimentPlanner(1, MEMORY).plan_experiment()["configurations"]
    found = {}
    for kind, which in (("2d", "2d"), ("3d", "3d_fullres")):
        plan = configurations[which]
        found[kind] = {
            "patch": list(map(int, plan["patch_size"])),
            "spacing": [float(step) for step in plan["spacing"]],
            "batch": int(plan["batch_size"]),
            "channels": list(plan["architecture"]["arch_kwargs"]["features_per_stage"]),
        }
    return found


SAMPLES = [((256, 224), 4, 8), ((128, 128), 8, 24), ((64, 96, 96), 3, 2), ((40, 56, 40), 3, 4)]
STEPS = [(*sample, small, width) for sample in SAMPLES for small, width in ((False, 16), (True, 16), (False, 32))]
"""Shape, classes, samples of the steps whose memory is measured, whether the network is small, and its width."""


def memory_of(shape: tuple[int, ...], classes: int, samples: int, small: bool, width: int) -> dict[str, Any]:
    """GiB by which the largest resident size of this process grows with two steps, after a tiny one."""
    import resource

    import torch

    from adawac.augment import RandomAugmentation
    from adawac.augment.randomness import Source
    from adawac.losses import cross_entropy, dice_loss
    from adawac.networks import NetworkSpec
    from adawac.networks.patch_unet import PatchUNet
    from adawac.networks.slice_unet import SliceUNet
    from adawac.training.objective import over_scales

    def train(shape: tuple[int, ...], samples: int, steps: int) -> float:
        topology = (SliceUNet if len(shape) == 2 else PatchUNet).of(shape, [1.0] * len(shape), small, width)
        network = NetworkSpec(topology.architecture, topology.arguments).build(1, classes, len(shape))
        inner = torch.channels_last if len(shape) == 2 else torch.channels_last_3d
        network.to(memory_format=inner)
        optimizer = torch.optim.AdamW(network.parameters())
        for _ in range(steps):
            image, label = torch.rand(samples, 1, *shape), torch.zeros(samples, *shape, dtype=torch.uint8)
            view = RandomAugmentation().draw(image, label, Source(0, 0, torch.arange(samples), (0,)))
            found, label = network(view.image.contiguous(memory_format=inner)), view.label.int()
            scales = (found.logits, *found.coarser)
            over_scales([cross_entropy(each, label).mean() + dice_loss(each, label) for each in scales]).backward()
            optimizer.step()
            optimizer.zero_grad()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    torch.set_num_threads(1)
    before = train((16,) * len(shape), 2, 1)
    return {
        "shape": shape,
        "classes": classes,
        "samples": samples,
        "small": small,
        "width": width,
        "gib": round(train(shape, samples, 2) - before, 3),
    }


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet", action="store_true", help="plan with nnU-Net as well, which must be installed")
    parser.add_argument("--memory", action="store_true", help="measure what training steps take")
    args = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if args.nnunet:
        from importlib.metadata import version

        results["nnunetv2"] = version("nnunetv2")
    if args.memory:
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            results["memory"] = pool.starmap(memory_of, STEPS, chunksize=1)
    plans = results.setdefault("plans", {})
    for name in DATA_SETS:
        known = plans.get(name, {})
        plans[name] = {"ours": ours(name), "nnunet": nnunets(name) if args.nnunet else known["nnunet"]}
    lines = (f"{json.dumps(name)}: {json.dumps(found)}" for name, found in sorted(plans.items()))
    head = json.dumps({key: value for key, value in results.items() if key != "plans"})[:-1]
    RESULTS.write_text(head + ', "plans": {\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main()
