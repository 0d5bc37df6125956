"""What else goes wrong: a full disk, a damaged checkpoint, damaged prepared data."""

import random
import shutil

import numpy as np
import yaml

from injection.place import Place, Row, differing, state_of
from injection.processes import adawac

SECTOR = 512
"""Bytes that a disk loses together."""


def full_disk(place: Place, times: int, rng: random.Random) -> Row:
    """Files may not grow beyond a size between nothing and a checkpoint's."""
    done = 0
    for number in range(times):
        name = f"full{number}"
        assert adawac(*place.config(name), "--trainer.max_epochs=2").status == 0
        last = place.run(name) / "checkpoints/last.ckpt"
        before = last.read_bytes()
        stopped = adawac(*place.config(name), "--resume=auto", limit=rng.randrange(4096, len(before)))
        whole = last.read_bytes() == before and not list(last.parent.glob(".*"))
        said = "checkpoint is whole" in stopped.said or "the one before it is whole" in stopped.said
        done += stopped.status == 2 and said
        assert whole, "the previous checkpoint was touched"
    return Row(
        "disk full", times, f"{done} of {times} stop and say so; the checkpoint before is whole", "steps since it"
    )


def damaged_checkpoint(place: Place, times: int, rng: random.Random) -> Row:
    """A sector of the newest checkpoint is lost, or its end is cut off."""
    alike = 0
    source = place.run("unbroken")
    for number in range(times):
        name = f"damaged{number}"
        shutil.copytree(source, place.run(name))
        last = place.run(name) / "checkpoints/last.ckpt"
        content = bytearray(last.read_bytes())
        if number % 2:
            content = content[: rng.randrange(len(content))]
        else:
            first = rng.randrange(len(content) - SECTOR)  # a single bit might lie between two records and harm nothing
            content[first : first + SECTOR] = rng.randbytes(SECTOR)
        last.write_bytes(content)
        done = adawac(*place.config(name), "--resume=auto")
        taken = done.status == 0 and "best.ckpt" in done.said
        alike += taken and not differing(state_of(place.run(name)), place.unbroken)
    return Row(
        "newest checkpoint damaged",
        times,
        f"--resume auto takes the newest whole one; {alike} of {times} end bit for bit like the undisturbed run",
        "steps between the two",
    )


def damaged_store(place: Place, times: int, rng: random.Random) -> Row:
    """A voxel of the prepared data becomes infinite after it was checked."""
    named = 0
    for number in range(times):
        store = f"damaged_store{number}"
        assert adawac(*place.config(store, store), "--trainer.max_epochs=1").status == 0
        units = yaml.safe_load((place.run(store) / "split.json").read_text())["train"]
        case, position = rng.choice(units), rng.randrange(7)
        (path,) = (place.home / store).glob(f"{case}/*/image.npy")
        image = np.load(path, mmap_mode="r+")
        image[0, position, 10, 10] = np.inf
        image.flush()
        stopped = adawac(*place.config(store, store), "--resume=auto")
        named += stopped.status == 2 and f"not finite: {case} slice {position}" in stopped.said
    return Row(
        "NaN in a step",
        times,
        f"{named} of {times} stop, naming case, slice and step",
        "nothing: the step is not taken",
    )
