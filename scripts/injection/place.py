"""Where faults are injected: tiny data, a configuration, and a run that is left alone, to compare with."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from tiny_data import write_msd

from injection.processes import adawac

State = dict[str, torch.Tensor]


class Row(NamedTuple):
    """A line of the table."""

    fault: str
    times: int
    happened: str
    lost: str


@dataclass(frozen=True)
class Place:
    """Where everything lies: data, a configuration, and a run that was left alone."""

    home: Path
    unbroken: State
    seconds: float

    def config(self, name: str, store: str = "store") -> list[str]:
        """Arguments of a run in a folder of its own."""
        return ["fit", f"--config={self.home / 'config.yaml'}", f"--name={name}", f"--data.store={self.home / store}"]

    def run(self, name: str) -> Path:
        """Folder of a run."""
        return self.home / "runs" / name / "version_0"

    def ends_alike(self, name: str, arguments: list[str], expected: State | None = None) -> bool:
        """Run the command again to its end; whether the newest version of its run ends as expected, bit for bit."""
        if adawac(*arguments).status != 0:
            return False
        versions = (self.home / "runs" / name).glob("version_*")
        newest = max(versions, key=lambda version: int(version.name.removeprefix("version_")))
        return not differing(state_of(newest), self.unbroken if expected is None else expected)


def state_of(run: Path) -> State:
    """Network, weights of the slices, their last losses."""
    state: State = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return state


def differing(state: State, expected: State) -> list[str]:
    """Names of the tensors that are not alike, bit for bit."""
    shared = state.keys() & expected.keys()
    unlike = [name for name in shared if not torch.equal(state[name].nan_to_num(-1), expected[name].nan_to_num(-1))]
    return sorted([*unlike, *(state.keys() ^ expected.keys())])


def prepare(home: Path) -> Place:
    """Data, configuration, and the run that all others are compared with."""
    settings = {
        "runs": str(home / "runs"),
        "seed_everything": 3,
        "trainer": {"accelerator": "cpu", "max_epochs": 6, "enable_progress_bar": False, "num_sanity_val_steps": 0},
        "data": {
            "root": str(write_msd(home / "msd", cases=6, shape=(7, 32, 32))),
            "split": {"class_path": "FractionSplit", "init_args": {"val": 0.2, "test": 0.2}},
            "size": [32, 32],
            "batch_size": 4,
        },
        "model": {
            "network": {
                "architecture": "monai.networks.nets.UNet",
                "arguments": {"channels": [4, 8], "strides": [2], "dropout": 0.2, "norm": "INSTANCE"},
            },
        },
    }
    (home / "config.yaml").write_text(yaml.safe_dump(settings))
    place = Place(home, {}, 0.0)
    begun = time.monotonic()
    done = adawac(*place.config("unbroken"))
    assert done.status == 0, done.said
    return Place(home, state_of(place.run("unbroken")), time.monotonic() - begun)
