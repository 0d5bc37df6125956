"""Training as a whole: all parts made from a configuration, and run in the folder of a run."""

import errno
import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from jsonargparse import Namespace
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    Callback,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    ProgressBar,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities import rank_zero_only

from adawac.data.case_names import AUTO
from adawac.data.datamodule import SegmentationData
from adawac.errors import AdaWACError, ConfigError, TrainingError, one_line, raised_in
from adawac.io.shipped import find_shipped
from adawac.io.terminal import Formatter
from adawac.processes.distributed import connection_closed
from adawac.runs.atomic_checkpoint import AtomicCheckpointIO, newest_checkpoint
from adawac.runs.checkpoint import read_checkpoint
from adawac.runs.claim import claimed, continued, held
from adawac.runs.folder import RunFolder, find_checkpoint, run_of_checkpoint
from adawac.runs.resume import check_resumable
from adawac.training.callbacks import default_callbacks
from adawac.training.callbacks.foresight import check_monitors
from adawac.training.callbacks.interruption import interruptible
from adawac.training.configuration import Config, parser_of, seed_of
from adawac.training.loggers import ConfigRecord, FolderLogger, all_loggers, missing_package, place_trackers
from adawac.training.performance.cpu import emulates_bfloat16, keep_freed_memory
from adawac.training.schedules import check_end
from adawac.training.task import SegmentationTask

log = logging.getLogger(__name__)

SWITCHED_OFF_BY = {"enable_progress_bar": ProgressBar, "enable_checkpointing": ModelCheckpoint}
"""Options of the trainer that, set to false, forbid callbacks which every run gets otherwise."""

UNFIT = {
    StochasticWeightAveraging: "checkpoints hold nothing of its average; take EMAWeightAveraging, as in "
    "configs/overlays/ema.yaml",
    LearningRateFinder: "the learning rate is the optimiser's; try some with --model.optimizer.init_args.lr",
    BackboneFinetuning: "it asks for a part called backbone; train all parts, from weights by --model.init_from",
    ModelPruning: "what it prunes would not be what a checkpoint is said to hold; export the network, and prune that",
    BatchSizeFinder: "weights depend on the batch size, which shall not depend on the machine; give data.batch_size",
}
"""Callbacks of Lightning's that would do something else than they promise, and what to do instead."""


def _run(config: Config, run: RunFolder | None) -> None:
    """Make all parts that a configuration names, and run them in a run's folder.

    Args:
        config: settings, with paths that are absolute; trackers are placed in it.
        run: folder of the run; None in processes but the first, which Lightning tells.
    """
    values, parser, trains = config.values, parser_of(config.command), config.command == "fit"
    recorded = values.clone()  # without the places of trackers
    recorded["ckpt_path"] = None  # another run from it has another, or none
    if values["seed_everything"] is not False:
        pl.seed_everything(values["seed_everything"], workers=True)
    # Stands for the run's folder `runs/NAME/version_K`, whatever else tracks the run.
    kind = TensorBoardLogger if trains else FolderLogger
    own_logger = kind(values["runs"], values["name"], None if run is None else run.path.name, default_hp_metric=False)
    place_trackers(values, Path(own_logger.log_dir))
    try:
        parts = parser.instantiate(values)
    except ValueError as error:  # what a part says about a bad value is passed on without jsonargparse's wrapping
        if (ours := _said_by_a_part(error)) is not None:
            raise ours from None
        raise
    first: list[Callback] = []  # before a signal may end it
    if trains and not values["trainer.fast_dev_run"]:
        first = [ConfigRecord(parser.dump(recorded, skip_unset=False, skip_validation=True))]
    trainer = _make_trainer(parts, first, own_logger)
    if trains:
        _foresee(parts["model"], parts["data"], trainer, parts["ckpt_path"])
    given = {key: parts[key] for key in ("ckpt_path", "weights_only", "verbose") if key in parts}
    getattr(trainer, config.command)(parts["model"], datamodule=parts["data"], **given)


def _foresee(task: SegmentationTask, data: SegmentationData, trainer: pl.Trainer, checkpoint: str | None) -> None:
    """Refuse what cannot be trained before the volumes are read, which may take hours."""
    check_end(task.schedule, trainer)
    task.begin(facts := data.look(), trainer, trains=True)
    check_monitors(trainer, task, facts.classes.names[1:], bool(data.split.val))
    if checkpoint is not None and task.recipe is not None:
        check_resumable(read := read_checkpoint(Path(checkpoint)), task.recipe, None)
        if -1 < (most := trainer.max_epochs or 0) < read.get("epoch", 0):
            raise ConfigError(
                f"{checkpoint} has {read['epoch'] + 1} epochs behind it, but trainer.max_epochs is {most}; raise it"
            )


def _make_trainer(parts: Namespace, first: list[Callback], own_logger: TensorBoardLogger) -> Any:
    """Make the trainer, with our callbacks, logging to the run's folder and to what else its settings name."""
    settings: dict[str, Any] = {**parts["trainer"]}
    unwanted = tuple(kind for option, kind in SWITCHED_OFF_BY.items() if settings[option] is False)
    ours = [c for c in default_callbacks(parts["non_finite"], parts["pictures"]) if not isinstance(c, unwanted)]
    theirs = settings["callbacks"] or []
    callbacks = [*first, *(theirs if isinstance(theirs, list) else [theirs]), *ours]
    if settings["barebones"]:
        raise ConfigError(
            "trainer.barebones is true, but allows neither checkpoints nor records, of which a run is made; leave "
            "it out (--pictures false and --trainer.enable_progress_bar false save the most)"
        )
    made = {**settings, "callbacks": callbacks, "logger": all_loggers(own_logger, settings["logger"])}
    made["default_root_dir"] = settings["default_root_dir"] or own_logger.log_dir  # where a run without a logger lies
    try:
        trainer: Any = pl.Trainer(**made)
    except Exception as error:  # of many kinds: what a trainer cannot be made of is a matter of settings
        if (known := _said_by_a_part(error)) is not None:
            raise known from error
        said, machine = one_line(error), ("accelerator", "devices", "strategy")
        asked = [f"trainer.{key} is {settings[key]}" for key in machine if settings[key] != "auto"]
        of_machine = asked and any(word in said for word in ("backend", *machine))
        remedy = f" ({', '.join(asked)}; auto takes what this machine has)" if of_machine else ""
        raise ConfigError(f"trainer: {said}{remedy}") from error
    for callback in trainer.callbacks:
        for kind, instead in UNFIT.items():
            if isinstance(callback, kind):
                raise ConfigError(f"trainer.callbacks: {type(callback).__name__} is of no use here: {instead}")
    if trainer.overfit_batches:
        raise ConfigError(
            f"trainer.overfit_batches is {trainer.overfit_batches}, but the batches of an epoch are drawn anew; to "
            "train on a few cases name them in a file, --data.split FileSplit --data.split.path FEW.json"
        )
    if trainer.reload_dataloaders_every_n_epochs:
        raise ConfigError(
            f"trainer.reload_dataloaders_every_n_epochs is {trainer.reload_dataloaders_every_n_epochs}, but the "
            "batches of an epoch are drawn anew without it, and what a sampling has learnt would be lost; leave it out"
        )
    if trainer.profiler.filename is None and not isinstance(trainer.profiler, PassThroughProfiler):
        trainer.profiler.filename = "profile"  # in the run's folder: what Lightning would log is not shown
    if TorchElasticEnvironment.detect() and trainer.world_size < (started := int(os.environ["WORLD_SIZE"])):
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        raise ConfigError(
            f"torchrun started {started} processes, but the trainer's settings make {trainer.world_size}, so that "
            f"each would train alone; give --trainer.devices {here} --trainer.num_nodes {started // here}, or "
            "leave torchrun out"
        )
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # unless the configuration names another
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()
    if trainer.precision == "bf16-mixed" and trainer.strategy.root_device.type == "cpu" and emulates_bfloat16():
        log.warning(
            "this processor has no bfloat16 (AMX or AVX512-BF16) and emulates it, several times slower than "
            "float32; add --trainer.precision 32-true"
        )
    return trainer


def train(config: Config) -> RunFolder | None:
    """Train, validate or test.

    Args:
        config: what `resolve` read; left as it is.

    Returns:
        The run's folder; None in processes but the first.

    Raises:
        ConfigError: settings contradict each other or the data; or another process trains in the folder to go on in.
        DataError: all problems of the data together.
        TrainingError: the training cannot go on.
        Interrupted: SIGINT, SIGTERM or SIGHUP came.
    """
    _speak_of_the_run_alone()
    keep_freed_memory()
    if config.command != "fit":
        if config.values["ckpt_path"] is None:
            raise ConfigError(
                "no checkpoint is given, so that a network would be measured that has learnt nothing; give a run "
                f"(adawac {config.command} runs/NAME/version_0), or --ckpt_path"
            )
        # The run's own split leaves out what the run left out.
        warnings.filterwarnings("ignore", message=".*into no part: left out")
    config = Config(config.command, config.values.clone())
    with connection_closed(), interruptible(), _place(config) as run, _explained(config, run):
        _settle(config.values)
        if config.command != "fit" and (checkpoint := config.values["ckpt_path"]) is not None:
            log.info("%s: %s%s", config.command, checkpoint, _not_the_best(Path(checkpoint)))
        _run(config, run)
        return run


@contextmanager
def _place(config: Config) -> Iterator[RunFolder | None]:
    """The run's folder, this process's alone while it trains; the settings then say from which checkpoint to go on."""
    values, trains, first = config.values, config.command == "fit", rank_zero_only.rank == 0  # type: ignore[attr-defined]
    runs, name = Path(values["runs"]).expanduser(), values["name"]
    if not Path(name).name or Path(name).is_absolute() or ".." in Path(name).parts or not name.isprintable():
        raise ConfigError(f"--name is {name!r}; give one that a folder in --runs can have")
    resume = values["resume"] if trains else None  # which a run's own configuration may hold
    if resume is not None and values["ckpt_path"] is not None:
        raise ConfigError("--resume and --ckpt_path both say where to go on; give one of them")
    run, checkpoint = None, values["ckpt_path"]
    with ExitStack() as stack:
        if resume == "auto":
            if first:
                run, checkpoint = stack.enter_context(continued(runs, name))
            else:
                checkpoint = newest_checkpoint(runs, name)
            log.info("resume: %s", checkpoint or "no whole checkpoint yet, so from the beginning")
        elif (given := resume or (values["ckpt_path"] if trains else None)) is not None:
            last = RunFolder(Path(given)).last  # in which the run of a folder stopped
            checkpoint = last if last.is_file() else find_checkpoint(Path(given))
        if checkpoint is not None:
            values["ckpt_path"] = str(Path(checkpoint).absolute()) if trains else checkpoint
            its_run = run_of_checkpoint(Path(checkpoint))
            if run is None and its_run.path.parent == (runs / name).resolve():
                run = its_run
                if first and trains:
                    stack.enter_context(held(run))
        if run is None and first:
            run = stack.enter_context(claimed(runs, name, trains=trains))
        yield run


@contextmanager
def _explained(config: Config, run: RunFolder | None) -> Iterator[None]:
    """Say what a full disk means for a training that has saved something, whichever of its files met it first.

    And pass on what Lightning says of the trainer's settings once it sees the data, without its traceback.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if not full or config.command != "fit" or run is None or not run.checkpoints:
            raise
        raise TrainingError(
            f"{error.filename or run.path} cannot be written ({error.strerror}); the last checkpoint is whole: free "
            "space and go on with --resume auto"
        ) from error

    except ModuleNotFoundError as error:
        if error.name is None:  # said by a callback; imports name the module
            raise missing_package(error) from error
        raise
    except (MisconfigurationException, ValueError, TypeError, AssertionError) as error:
        if "optim" in (parts := raised_in(error).parts) and "torch" in parts:
            raise ConfigError(f"model.optimizer: {one_line(error)}") from error
        if isinstance(error, MisconfigurationException) or "lightning" in raised_in(error).parts:
            raise ConfigError(f"trainer: {str(error).strip()}") from error
        raise


def _speak_of_the_run_alone() -> None:
    """Show our own messages; leave out what the libraries below say to their developers, or of other products."""
    first = rank_zero_only.rank == 0  # type: ignore[attr-defined]  # set when Lightning is imported
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(level=logging.INFO if first else logging.WARNING, handlers=[handler])
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in (
        ".*isinstance.treespec, LeafSpec",
        ".*is smaller than the logging interval",
        "Total length of `list` across ranks is zero",  # a split without validation cases
        ".*does not have many workers",  # batches come from memory maps: measured, workers do not pay
        ".*Checkpoint directory .* exists and is not empty",  # that is what going on with a run means
        ".*overrides the configure_model",  # nothing is sharded there
        "The dirpath has changed",  # a run that begins from another's checkpoint keeps checkpoints of its own
        "Be aware that when using `ckpt_path`",  # callbacks that come or go are said with all other settings
    ):
        warnings.filterwarnings("ignore", message=message)


_ABOVE_ZERO = {
    "trainer.check_val_every_n_epoch": "give a number of epochs from 1, or trainer.limit_val_batches 0 to "
    "validate never",
    "trainer.val_check_interval": "give a number of batches or a share of an epoch, or "
    "trainer.limit_val_batches 0 to validate never",
    "trainer.accumulate_grad_batches": "give a number of batches from 1",
    "trainer.gradient_clip_val": "give the largest norm of a gradient, or null to clip none",
    "model.predict_batch_size": "give a number of slices from 1",
}
"""Settings that are taken at 0 and below, and cannot work there; and what to give."""


def _settle(values: Namespace) -> None:
    """Make paths absolute: a run shall find its data, and go on in its folder, from any working folder."""
    if values["ckpt_path"] is not None and values["data.patient_pattern"] == AUTO:
        values["data.patient_pattern"] = run_of_checkpoint(Path(values["ckpt_path"])).patient_pattern
    _lengthen(values)
    if values["seed_everything"] is not False:
        values["seed_everything"] = seed = seed_of(values["seed_everything"])
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed_everything is {seed}; give a whole number from 0 to {2**32 - 1}")
    for option, remedy in _ABOVE_ZERO.items():
        if isinstance(value := values[option], int | float) and not value > 0:
            raise ConfigError(f"{option} is {value:g}; {remedy}")
    for option, value in values.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(each, float) and not math.isfinite(each) for each in numbers) and "max_" not in option:
            raise ConfigError(f"{option} is {value}; give a finite number")
    if values.get("model.optimizer.init_args.lr") == 0:
        log.warning("model.optimizer.init_args.lr is 0: the network stays as it begins")
    for option in ("runs", "data.root", "data.store", "model.init_from"):
        if (path := values.get(option)) is not None:
            values[option] = str(Path(path).expanduser().absolute())
    for option in ("data.split.init_args.path", "data.patient_pattern"):  # may be something else than a file here
        if (path := values.get(option)) not in (None, AUTO) and Path(path := find_shipped(path)).is_file():
            values[option] = str(Path(path).absolute())


def _not_the_best(checkpoint: Path) -> str:
    """What is to be known of the checkpoint in which a run stopped, where it is taken because there is no better."""
    run = run_of_checkpoint(checkpoint)
    stands_in = checkpoint.absolute() == run.last.absolute() and not run.best.is_file()
    why = "" if "val_dice" in run.record else ": nothing was validated"
    return f" (there is no {run.best.name}{why})" if stands_in else ""


def _lengthen(config: Namespace) -> None:
    """Multiply how long is trained; the run's own record then says it in epochs."""
    for option in ("max_epochs", "max_steps", "check_val_every_n_epoch"):
        if (config["trainer"][option] or 0) > 0:  # -1: without end
            config["trainer"][option] *= config["times"]
    config["times"] = 1


def _said_by_a_part(error: BaseException | None) -> AdaWACError | None:
    """The first error of ours among an error and its causes; a package that is missing is one."""
    while error is not None and not isinstance(error, AdaWACError):
        if isinstance(error, ModuleNotFoundError):
            return missing_package(error)
        error = error.__cause__
    return error
