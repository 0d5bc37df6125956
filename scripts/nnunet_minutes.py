"""nnU-Net's Dice on validation cases against minutes of CPU, of the data and on the machine that adawac is tried on.

    pip install nnunetv2    # never a dependency of adawac; an environment of its own is best
    python scripts/nnunet_minutes.py DATA/hippocampus-mr --configuration 3d_fullres --minutes 60 -o nnunet_3d.json

DATA is a folder in nnU-Net's raw layout (v2) or the Decathlon's, with a `splits.json` of train, val and test; test
cases are not read. The trainer is nnU-Net's own, with its own plan, augmentation and validation (mirrored, half
overlapping patches). Set is only how many steps fit into the minutes, so that its learning rate falls to 0 at their
end. One thread. Minutes count planning, preprocessing and training, but not validations, which take nnU-Net as long on
a CPU. adawac's side of the comparison is adawac_minutes.py.
"""

import argparse
import json
import os
import resource
import tempfile
from pathlib import Path
from typing import Any

TRIED = 5
"""Steps by which the time of one is guessed."""


def minutes() -> float:
    """Of CPU time, of this process and those it has started and seen end."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) / 60


def link(data: Path, raw: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Training and validation cases as a data set of nnU-Net's: its description, and who trains."""
    described = json.loads((data / "dataset.json").read_text())
    if "modality" in described:  # the Decathlon's words
        described["channel_names"] = described.pop("modality")
        described["labels"] = {name: int(value) for value, name in described["labels"].items()}
    splits = json.loads((data / "splits.json").read_text())
    split = {part: list(splits[part]) for part in ("train", "val")}
    ending, cases = described.setdefault("file_ending", ".nii.gz"), split["train"] + split["val"]
    for folder, suffixes in {
        "imagesTr": [f"_{i:04d}" for i in range(len(described["channel_names"]))],
        "labelsTr": [""],
    }.items():
        (raw / folder).mkdir(parents=True, exist_ok=True)
        for case in cases:
            for suffix in suffixes:
                there = data / folder / f"{case}{suffix}{ending}"
                there = there if there.exists() else data / folder / f"{case}{ending}"
                (raw / folder / f"{case}{suffix}{ending}").symlink_to(there.resolve())
    described["numTraining"] = len(cases)
    (raw / "dataset.json").write_text(json.dumps(described))
    return described, split


def prepared(data: Path, home: Path, configuration: str) -> tuple[Any, dict[str, Any]]:
    """A trainer of nnU-Net's, planned and preprocessed, not yet begun; and nnU-Net's plan."""
    import torch
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    described, split = link(data, home / "raw/Dataset001_any")
    api.extract_fingerprints([1], num_processes=1)
    api.plan_experiments([1])
    api.preprocess([1], configurations=(configuration,), num_processes=(1,))
    folder = home / "preprocessed/Dataset001_any"
    (folder / "splits_final.json").write_text(json.dumps([split]))
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    trainer = nnUNetTrainer(plans | {"continue_training": False}, configuration, 0, described, torch.device("cpu"))
    trainer.disable_checkpointing, trainer.num_val_iterations_per_epoch = True, 1
    return trainer, plans["configurations"][configuration]


def main() -> None:
    """Prepare, train, validate now and then, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--configuration", default="3d_fullres", help="of nnU-Net's plan: 2d or 3d_fullres (default)")
    parser.add_argument("--minutes", type=float, default=60, help="of CPU time (default: 60)")
    parser.add_argument("--points", type=int, default=5, help="how often validation cases are predicted (default: 5)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        for name in ("raw", "preprocessed", "results"):
            os.environ[f"nnUNet_{name}"] = str(home / name)
        os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "f", "nnUNet_def_n_proc": "1"}
        import torch

        torch.manual_seed(0)
        trainer, plan = prepared(args.data, home, args.configuration)
        os.environ |= {"nnUNet_n_proc_DA": "0"}  # views are made in this process; the planner refuses that
        torch.set_num_threads(1)
        trainer.on_train_start()
        before = minutes()
        for _ in range(TRIED):
            trainer.train_step(next(trainer.dataloader_train))
        steps = int((args.minutes - minutes()) * TRIED / (minutes() - before) / args.points)
        if steps < 1:
            parser.error(f"--minutes {args.minutes:g}: not a step between two validations fits; give more")
        trainer.num_epochs, trainer.num_iterations_per_epoch = args.points, steps
        trainer.optimizer, trainer.lr_scheduler = trainer.configure_optimizers()
        validating = 0.0
        curve = []
        for epoch in range(args.points):
            trainer.on_epoch_start()
            trainer.on_train_epoch_start()
            for _ in range(steps):
                trainer.train_step(next(trainer.dataloader_train))
            trainer.current_epoch += 1
            before = minutes()
            trainer.perform_actual_validation(False)
            validating += minutes() - before
            trainer.set_deep_supervision_enabled(trainer.enable_deep_supervision)
            found = json.loads((Path(trainer.output_folder) / "validation/summary.json").read_text())
            dice = {
                name: found["mean"][str(value)]["Dice"]
                for name, value in trainer.dataset_json["labels"].items()
                if value
            }
            curve.append(
                {
                    "step": TRIED + (epoch + 1) * steps,
                    "cpu_minutes": round(minutes() - validating, 1),
                    "val_dice": round(sum(dice.values()) / len(dice), 4),
                    "of_classes": {name: round(value, 4) for name, value in dice.items()},
                }
            )
            result = {"tool": "nnU-Net", "configuration": args.configuration, "plan": plan, "curve": curve}
            args.output.write_text(json.dumps(result, indent=1) + "\n")
            print(curve[-1], flush=True)


if __name__ == "__main__":
    main()
