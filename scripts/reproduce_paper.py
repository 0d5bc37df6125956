"""Write the studies of the AdaWAC paper (Dong, Xie, Ward, ICML 2023) for Synapse and ACDC: STUDY.yaml files to be run.

    python scripts/reproduce_paper.py -o studies
    adawac study studies/synapse_transunet_subsets.yaml --dry-run --data.root DATA/synapse
    adawac study studies/synapse_transunet_subsets.yaml --data.root DATA/synapse --model.init_from R50+ViT-B_16.npz

Of each network there are `synapse_*_subsets` (AdaWAC against plain training on the subsets of the training slices),
`synapse_*_methods` (its ablations and rivals on all slices) and `acdc_*_methods`. The recipe is that of
`configs/<data>_<network>.yaml`, to the paper's letter but for what stands at the top of that file; methods with
a step size take AdaWAC's. Two things are ours: `pair`, plain training at AdaWAC's compute, and several seeds, without
which no difference can be told from luck. The paper's seed is 1234.

The published numbers start from ImageNet weights (`--model.init_from`; the configurations say where to get them);
without them nothing here is comparable to the paper, only with each other. They are not repeated here: what is compared
with them should be copied from the paper, with its definitions (`--model.policy paper` counts an organ that is missed
as HD95 0, and distances are in voxels).
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PAPER = ("transunet", "resnetunet")
SEEDS = (1234, 1235, 1236)

SUBSETS = {
    "full": None,
    "half_slice": "half_slice",
    "half_vol": "half_vol_synapse",
    "half_sparse": "half_sparse",
}
"""Overlays: all 2211 slices, 1111, 1088 and 1118. The test is always on all test volumes."""

PLAIN = {"erm": "ERM", "pair": "Pair", "adawac": None}
RIVALS = {
    "acr_only": "ACROnly",
    "pseudo_adawac": "PseudoAdaWAC",
    "reweight_only": "ReweightOnly",
    "pm_dro": "PMDRO",
    "trim_train": "TrimTrain",
    "trim_ratio": "TrimRatio",
    "trim_train_acr": "TrimTrainACR",
    "trim_ratio_acr": "TrimRatioACR",
}
STEPPING = ("ReweightOnly", "PMDRO")

Study = dict[str, Any]


def main() -> int:
    """Parse, write, say what comes next."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = sorted(path.stem.split("_")[1] for path in CONFIGS.glob("synapse_*.yaml"))
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the STUDY.yaml files")
    parser.add_argument("--networks", nargs="+", choices=there, help="default: the paper's")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    args = parser.parse_args()
    networks = args.networks or [name for name in PAPER if name in there]
    if not networks:
        networks = ["unet"]
        print(f"there is no configuration of {' or '.join(PAPER)}: the studies use MONAI's UNet, not the paper's")

    args.output.mkdir(parents=True, exist_ok=True)
    for network in networks:
        for study in studies(network, args.seeds, args.output):
            path = args.output / f"{study['name']}.yaml"
            path.write_text(
                f"# {HEADINGS[study['name'].rpartition('_')[2]]}\n" + yaml.safe_dump(study, sort_keys=False)
            )
            print(f"adawac study {path} --data.root DATA")
    return 0


HEADINGS = {
    "subsets": "AdaWAC against plain training, on all training slices and on subsets of them",
    "methods": "AdaWAC, its ablations and its rivals",
}


def studies(network: str, seeds: list[int], folder: Path) -> list[Study]:
    """The studies of a network, with paths relative to the folder that they will lie in."""

    def config(name: str) -> str:
        return os.path.relpath(CONFIGS / f"{name}.yaml", folder.resolve())

    found = []
    for data, topics in {"synapse": ("subsets", "methods"), "acdc": ("methods",)}.items():
        recipe = f"{data}_{network}"
        step_size = yaml.safe_load((CONFIGS / f"{recipe}.yaml").read_text())["model"]["weighting"]["init_args"][
            "step_size"
        ]
        for topic in topics:
            weightings = PLAIN if topic == "subsets" else {**PLAIN, **RIVALS}
            grid: Study = {"method": {name: weighting_keys(kind, step_size) for name, kind in weightings.items()}}
            if topic == "subsets":
                overlays = SUBSETS.items()
                grid["subset"] = {name: {"config": config(f"overlays/{o}")} if o else {} for name, o in overlays}
            grid["seed"] = list(seeds)
            found.append({"name": f"{data}_{network}_{topic}", "config": config(recipe), "grid": grid})
    return found


def weighting_keys(kind: str | None, step_size: float) -> Study:
    """Keys of a method; none for AdaWAC, which is the recipe's own."""
    if kind is None:
        return {}
    keys = {"model.weighting": kind}
    return keys | {"model.weighting.step_size": step_size} if kind in STEPPING else keys


if __name__ == "__main__":
    sys.exit(main())
