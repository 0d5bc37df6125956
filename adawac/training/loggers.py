"""Where a run's numbers go: TensorBoard in the run's folder, and the trackers of its configuration beside it."""

import inspect
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from jsonargparse import Namespace, get_loader
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyExperiment  # type: ignore[attr-defined]

from adawac.errors import ConfigError
from adawac.io.atomic import write_text
from adawac.runs.folder import RunFolder
from adawac.runs.resume import settings_of

PARTS = ("weighting", "supervised", "consistency", "augmentation", "schedule")
"""Parts of a task that a configuration may leave to the default."""


class FolderLogger(TensorBoardLogger):
    """Stands for the run's folder where nothing is trained: a test or validation adds nothing to its curves."""

    @property
    def experiment(self) -> Any:
        """Takes everything and writes nothing."""
        return DummyExperiment()

    def save(self) -> None:
        """Nothing."""


def place_trackers(config: Namespace, run: Path) -> None:
    """Let a relative `save_dir` of a tracker lie in the run's folder, and name it after the run if it has no name.

    Args:
        config: of the command, changed in place.
        run: the run's folder.
    """
    loggers = config["trainer"]["logger"]
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        arguments = logger.get("init_args") if isinstance(logger, Namespace) else None
        if arguments is None:
            continue
        if arguments.get("save_dir") is not None:
            arguments["save_dir"] = os.path.normpath(run / arguments["save_dir"])  # an absolute one stays
        for key in ("name", "run_name"):
            if key in arguments and arguments[key] is None:
                arguments[key] = f"{run.parent.name}/{run.name}"


def all_loggers(first: TensorBoardLogger, trackers: Any) -> list[Logger] | bool:
    """What the trainer logs to: the run's own logger comes first, because its folder is the run's.

    Args:
        first: the run's own.
        trackers: made from the configuration: a logger, several, None, or a boolean: false for no logging at all.
    """
    if trackers is False:
        return False
    several = trackers if isinstance(trackers, list) else [trackers]
    return [first, *(each for each in several if isinstance(each, Logger))]


def missing_package(error: ModuleNotFoundError) -> ConfigError:
    """What a part of the configuration, most often a tracker, lacks."""
    return ConfigError(
        f"{error}; install what the configuration asks for, trackers with pip install 'adawac[mlflow]' or "
        "'adawac[wandb]'"
    )


class ConfigRecord(Callback):
    """Writes `config.yaml` into the run's folder, and tells the trackers the settings and that folder.

    Not before a step was made: where a checkpoint is refused, or nothing is left to train, the record of the steps that
    were made stays.

    Args:
        text: of the file.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._settings: dict[str, Any] = get_loader("yaml")(text)
        self._written = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Tell the task its settings, which a checkpoint holds."""
        parts = {f"model.{name}": _defaults(type(getattr(pl_module, name))) for name in PARTS}
        pl_module.settings = settings_of(self._settings, parts)  # type: ignore[assignment]

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Write and tell, once."""
        if self._written:
            return
        self._written = True
        if (run := RunFolder.of_trainer(trainer)) is not None:
            write_text(run.config_file, self._text)
            for tracker in trainer.loggers[1:]:
                tracker.log_hyperparams(self._settings | {"run_folder": str(run.path)})


def _defaults(kind: type) -> dict[str, Any]:
    """A part as a configuration says it that sets nothing of it."""
    given = {each.name: each.default for each in inspect.signature(kind).parameters.values()}
    return {"class_path": kind.__name__, "init_args": {key: value for key, value in given.items() if _plain(value)}}


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
