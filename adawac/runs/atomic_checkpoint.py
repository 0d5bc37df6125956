"""Checkpoint files on disk: written whole or not at all, verified, read without running code, and found again."""

import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from adawac.errors import ConfigError, TrainingError, one_line
from adawac.io.atomic import atomic_write
from adawac.runs.checkpoint import read_checkpoint
from adawac.runs.folder import RunFolder

log = logging.getLogger(__name__)

RUN = "{run}"
"""The run's folder in what a checkpoint says of paths."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's way to disk, with two promises: no half a file ever bears a checkpoint's name, and no code is run.

    A checkpoint is written beside its place, read back against its check sums, flushed to the disk and only then
    renamed; whatever goes wrong before leaves the previous one as it was.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            TrainingError: the disk is full or fails; what lay at `path` is still whole.
        """
        path = Path(path)
        try:
            with atomic_write(path) as scratch:
                callbacks = moved(checkpoint.get("callbacks"), os.path.abspath(path.parent.parent), RUN)
                with scratch.open("wb") as file:
                    torch.save(checkpoint | ({"callbacks": callbacks} if callbacks else {}), file)
                with zipfile.ZipFile(scratch) as archive:
                    if (broken := archive.testzip()) is not None:
                        raise OSError(f"{broken} does not read back as it was written")
        except (OSError, RuntimeError, zipfile.BadZipFile) as error:  # torch wraps what the disk says
            reason = one_line(error.__cause__ or error.__context__ or error)
            kept = "the one before it is whole: free space and go on with --resume auto"
            raise TrainingError(
                f"{path}: the checkpoint cannot be written ({reason}); "
                + (kept if any(path.parent.glob("*.ckpt")) else "free space and give the command again")
            ) from error

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint as tensors and plain values, whatever the caller asks for.

        Raises:
            ConfigError: it cannot be read so, or is none of adawac's.
        """
        checkpoint = read_checkpoint(Path(path))
        callbacks = moved(checkpoint.get("callbacks"), RUN, os.path.abspath(Path(path).parent.parent))
        return checkpoint | ({"callbacks": callbacks} if callbacks else {})


def moved(state: Any, here: str, there: str) -> Any:
    """What callbacks keep, paths in one folder as those of another: where a run lies is nobody's business."""
    if isinstance(state, dict):
        return {moved(key, here, there): moved(each, here, there) for key, each in state.items()}
    if isinstance(state, list):
        return [moved(each, here, there) for each in state]
    inside = isinstance(state, str) and (state == here or state.startswith((f"{here}/", f"{here}\\")))
    return there + state[len(here) :] if inside else state


def newest_checkpoint(runs: Path, name: str) -> Path | None:
    """The checkpoint to go on from: of all versions of a run the last one that has any, and of those the furthest.

    Args:
        runs: folder of all runs.
        name: of the experiment.

    Returns:
        A checkpoint that can be read whole; of several at one step the last. None if there is none.
    """
    return next(filter(None, map(newest_whole, RunFolder.versions(runs, name))), None)


def newest_whole(run: RunFolder) -> Path | None:
    """The furthest checkpoint of a run that can be read whole; of several at one step the last. None if none can."""
    steps = {path: (step, path == run.last) for path in run.checkpoints if (step := _step_of_whole(path)) is not None}
    return max(steps, key=lambda path: steps[path], default=None)


def _step_of_whole(path: Path) -> int | None:
    """Step of a checkpoint that is whole, one of adawac's trainings, and holds more than weights."""
    try:
        checkpoint = read_checkpoint(path)
    except ConfigError as error:
        log.warning("%s; passed over", error)
        return None
    return int(checkpoint["global_step"]) if checkpoint.get("optimizer_states") else None
