"""`adawac fit | validate | test`: a thin LightningCLI with our defaults."""

import errno
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import Namespace, get_loader, set_loader
from jsonargparse.typing import PositiveInt
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    LearningRateFinder,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from adawac.cli.own_code import find_in_working_folder
from adawac.cli.suggestions import NamingParser
from adawac.data.case_names import AUTO
from adawac.data.datamodule import SegmentationData
from adawac.distributed import connection_closed
from adawac.errors import AdaWACError, ConfigError, TrainingError
from adawac.runs.atomic_checkpoint import AtomicCheckpointIO, newest_checkpoint
from adawac.runs.folder import RunFolder, checkpoint_to_resume, run_of_checkpoint
from adawac.runs.old_names import with_new_names
from adawac.training.callbacks import (
    CaseTableWriter,
    DueValidation,
    FiniteGuard,
    PredictionPictures,
    RunProgress,
    RunRecord,
    StopOnSignal,
    SuspectSlices,
    WeightMonitor,
)
from adawac.training.callbacks.interruption import interruptible
from adawac.training.loggers import ConfigRecord, all_loggers, missing_package, place_trackers, run_logger
from adawac.training.performance.cpu import emulates_bfloat16, keep_freed_memory
from adawac.training.task import SegmentationTask

log = logging.getLogger(__name__)

SWITCHED_OFF_BY = {"enable_progress_bar": ProgressBar, "enable_checkpointing": ModelCheckpoint}
"""Options of the trainer that, set to false, forbid callbacks which every run gets otherwise."""

UNFIT = {
    StochasticWeightAveraging: "checkpoints hold nothing of its average; take EMAWeightAveraging, as in "
    "configs/overlays/ema.yaml",
    LearningRateFinder: "the learning rate is the optimiser's; try some with --model.optimizer.init_args.lr",
    BatchSizeFinder: "weights depend on the batch size, which shall not depend on the machine; give data.batch_size",
}
"""Callbacks of Lightning's that would do something else than they promise, and what to do instead."""

_YAML = get_loader("yaml")

FIT_ALONE = {"--resume", "--non_finite", "--times"}
"""Options that do nothing where nothing is trained."""


class TrainingParser(NamingParser, LightningArgumentParser):
    """Lightning's parser, which names the classes that an option takes."""


class TrainingCLI(LightningCLI):
    """Task and data module on the command line; one seed for both; a run folder named as the experiment."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The verbs of training."""
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"},
            "validate": {"model", "dataloaders", "datamodule"},
            "test": {"model", "dataloaders", "datamodule"},
        }

    def _parse_ckpt_path(self) -> None:
        """Checkpoints rule no settings; here Lightning would read one for them, and fail on other files in its way."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's name and its folder, and let one seed rule all randomness."""
        parser.add_argument("--name", type=str, default="run", help="name of the experiment: runs/NAME/version_K")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all runs")
        parser.add_argument(
            "--resume",
            type=str | None,
            help="auto: go on from the newest whole checkpoint of the run, or begin it; or a run folder or checkpoint",
        )
        parser.add_argument(
            "--non_finite",
            type=Literal["stop", "skip"],
            default="stop",
            help="what a loss or gradient that is not finite does: stop the training, or leave the batch out",
        )
        parser.add_argument(
            "--times",
            type=PositiveInt,
            default=1,
            help="so many times the trainer's epochs (or steps), validated as often in all; such as 2 for training on "
            "one view, which costs half of training on two",
        )
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)

    def before_instantiate_classes(self) -> None:
        """Make paths absolute: a run shall find its data, and go on in its folder, from any working folder."""
        config = self.config[self.config["subcommand"]]
        _refuse_empty_keys(self._parser(self.config["subcommand"]), config)
        if self.config["subcommand"] == "fit" and config["resume"] is not None:
            config["ckpt_path"] = _checkpoint_to_resume(config)
        if config["ckpt_path"] is not None and config["data.patient_pattern"] == AUTO:
            config["data.patient_pattern"] = run_of_checkpoint(Path(config["ckpt_path"])).patient_pattern
        _lengthen(config)
        for option in ("runs", "data.root", "data.store", "model.init_from"):
            if (path := config.get(option)) is not None:
                config[option] = str(Path(path).expanduser().absolute())
        for option in ("data.split.init_args.path", "data.patient_pattern"):  # may be something else than a file here
            if (path := config.get(option)) not in (None, AUTO) and Path(path).is_file():
                config[option] = str(Path(path).absolute())

    def instantiate_classes(self) -> None:
        """Make all parts; what a part says about a bad value is passed on without jsonargparse's wrapping."""
        # Without the places of trackers and the checkpoint to go on from: another run from it has others, or none.
        self._recorded = self.config
        self.config = self.config.clone()
        self._recorded[f"{self._recorded['subcommand']}.ckpt_path"] = None
        config = self.config[self.config["subcommand"]]
        self._run_logger = run_logger(config, _version(config))
        place_trackers(config, Path(self._run_logger.log_dir))
        try:
            super().instantiate_classes()
        except ValueError as error:
            if (ours := _said_by_a_part(error)) is not None:
                raise ours from None
            raise

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Make the trainer, logging to the run's folder and to what else the configuration names."""
        self.config = self._recorded
        config = self.config_init[self.config_init["subcommand"]]
        unwanted = tuple(kind for option, kind in SWITCHED_OFF_BY.items() if config["trainer"][option] is False)
        self.trainer_defaults["callbacks"] = [
            c for c in default_callbacks(config["non_finite"]) if not isinstance(c, unwanted)
        ]
        if config["trainer"]["default_root_dir"] is None:  # where a run without a logger lies
            kwargs["default_root_dir"] = self._run_logger.log_dir
        kwargs["logger"] = all_loggers(self._run_logger, config["trainer"]["logger"])
        try:
            trainer: Any = super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ValueError) as error:
            if (ours := _said_by_a_part(error)) is not None:
                raise ours from error
            raise ConfigError(f"trainer: {error}") from error
        for callback in trainer.callbacks:
            for kind, instead in UNFIT.items():
                if isinstance(callback, kind):
                    raise ConfigError(f"trainer.callbacks: {type(callback).__name__} is of no use here: {instead}")
        if trainer.overfit_batches:
            raise ConfigError(
                f"trainer.overfit_batches is {trainer.overfit_batches}, but the batches of an epoch are drawn anew; to "
                "train on a few cases name them in a file, --data.split FileSplit --data.split.path FEW.json"
            )
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # unless the configuration names another
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        if trainer.precision == "bf16-mixed" and trainer.strategy.root_device.type == "cpu" and emulates_bfloat16():
            log.warning(
                "this processor has no bfloat16 (AMX or AVX512-BF16) and emulates it, several times slower than "
                "float32; add --trainer.precision 32-true"
            )
        return trainer


def default_callbacks(non_finite: Literal["stop", "skip"] = "stop") -> list[Callback]:
    """What every run gets besides the callbacks of its configuration.

    Args:
        non_finite: what a loss or gradient that is not finite does, see `FiniteGuard`.
    """
    return [
        FiniteGuard(non_finite),
        DueValidation(),
        RunRecord(),  # counts a step before a signal may save it as done
        StopOnSignal(),
        ModelCheckpoint(
            filename="best",
            monitor="val/dice",
            mode="max",
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        ),
        ModelCheckpoint(filename="last", save_on_train_epoch_end=True, enable_version_counter=False),
        RunProgress(),
        CaseTableWriter(),
        WeightMonitor(),
        SuspectSlices(),
        PredictionPictures(),
    ]


def main(argv: Sequence[str]) -> int:
    """Run a verb of training.

    Args:
        argv: the verb and its arguments. For `validate` and `test` a run folder may stand in for its configuration,
            its checkpoint and its split.
    """
    _speak_of_the_run_alone()
    keep_freed_memory()
    set_loader("yaml", _read_yaml, exceptions=(yaml.YAMLError,))
    find_in_working_folder()
    if argv[0] != "fit":
        if given := {option.partition("=")[0] for option in argv} & FIT_ALONE:  # which a run's own config.yaml may hold
            raise ConfigError(f"{', '.join(sorted(given))} means something to `adawac fit` alone; leave it out")
        # No checkpoint will be written, so it does not matter where the run wrote its own.
        warnings.filterwarnings("ignore", message="The dirpath has changed")
        # The run's own split leaves out what the run left out.
        warnings.filterwarnings("ignore", message=".*into no part: left out")
    # Above what is wrong with an option, in place of the names of all of them.
    usage = f"adawac {argv[0]} {'--config YAML' if argv[0] == 'fit' else 'RUN'} [--KEY VALUE ...]"
    with connection_closed(), interruptible(), _full_disk(), _lightning_refuses():
        TrainingCLI(
            SegmentationTask,
            SegmentationData,
            args=["--data.skip_bad=true" if option == "--skip-bad" else option for option in _expand_run(list(argv))],
            seed_everything_default=1234,
            auto_configure_optimizers=False,  # the task's own, model.optimizer and model.schedule
            save_config_callback=ConfigRecord if argv[0] == "fit" else None,  # the record of how it was trained
            save_config_kwargs={"overwrite": True},
            trainer_defaults={
                "use_distributed_sampler": False,
                "max_epochs": 20,
                "log_every_n_steps": 10,
                "enable_model_summary": False,
            },
            parser_class=TrainingParser,
            parser_kwargs={"prog": "adawac", argv[0]: {"usage": usage}},
        )
    return 0


def _read_yaml(text: str) -> Any:
    """As jsonargparse does, with names of earlier versions as they are now."""
    return with_new_names(_YAML(text))


@contextmanager
def _full_disk() -> Iterator[None]:
    """Say what a full disk means for the run, whichever of its files met it first."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise TrainingError(
            f"{error.filename or 'the run'} cannot be written ({error.strerror}); the last checkpoint is whole: free "
            "space and go on with --resume auto"
        ) from error


@contextmanager
def _lightning_refuses() -> Iterator[None]:
    """Pass on what Lightning says of the trainer's settings once it sees the data, without its traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None:  # said by a callback; imports name the module
            raise missing_package(error) from error
        raise
    except (MisconfigurationException, ValueError) as error:
        if isinstance(error, MisconfigurationException) or "`val_check_interval`" in str(error):
            raise ConfigError(f"trainer: {str(error).strip()}") from error
        raise


def _speak_of_the_run_alone() -> None:
    """Show our own messages; leave out what the libraries below say to their developers, or of other products."""
    first = rank_zero_only.rank == 0  # type: ignore[attr-defined]  # set when Lightning is imported
    logging.basicConfig(level=logging.INFO if first else logging.WARNING, format="%(message)s")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in (
        "LightningCLI's args parameter",  # it fears that `args` and the command line are two different things
        ".*isinstance.treespec, LeafSpec",
        ".*is smaller than the logging interval",
        "Total length of `list` across ranks is zero",  # a split without validation cases
        ".*does not have many workers",  # batches come from memory maps: measured, workers do not pay
        ".*Checkpoint directory .* exists and is not empty",  # that is what going on with a run means
        ".*overrides the configure_model",  # nothing is sharded there
    ):
        warnings.filterwarnings("ignore", message=message)


def _expand_run(argv: list[str]) -> list[str]:
    """`test RUN` means its configuration, its best checkpoint and its own split; what it measures goes into RUN."""
    if len(argv) < 2 or argv[0] == "fit" or argv[1].startswith("-"):
        return argv
    run = RunFolder.open(Path(argv[1]))
    options = {
        "--config": str(run.config_file),
        "--ckpt_path": str(run.checkpoint),
        "--runs": str(run.runs),
        "--name": run.experiment,
        "--trainer.logger": "null",  # trackers follow the training
    }
    if run.patient_pattern is None:  # also where it was a default that is not written down
        options["--data.patient_pattern"] = "null"
    if run.split_file.is_file():  # whatever has become of the rule, its file and the data since
        # Every argument is said: what the run's own rule had, such as a fold, would stay otherwise.
        split = {"class_path": "FileSplit", "init_args": {"path": str(run.split_file), "fold": 0}}
        options["--data.split"] = json.dumps(split)
    return [argv[0], *(f"{option}={value}" for option, value in options.items()), *argv[2:]]


def _refuse_empty_keys(parser: LightningArgumentParser, config: Namespace) -> None:
    """Refuse null where a value must be: the parser takes a key of a file with nothing behind it for one not given."""
    empty = [group for group in parser.groups or () if config.get(group, "") is None]
    try:
        parser.validate(config, skip_unset=False)
    except TypeError as error:
        empty.append(str(error).partition('"')[2].partition('"')[0])
    if empty:
        raise ConfigError(f"{empty[0]} has nothing behind it; give it a value, or leave the key out")


def _lengthen(config: Namespace) -> None:
    """Multiply how long is trained; the run's own record then says it in epochs."""
    for option in ("max_epochs", "max_steps", "check_val_every_n_epoch"):
        if (config["trainer"][option] or 0) > 0:  # -1: without end
            config["trainer"][option] *= config["times"]
    config["times"] = 1


def _checkpoint_to_resume(config: Namespace) -> str | None:
    """What `--resume` means; None where there is nothing to go on from yet."""
    if config["ckpt_path"] is not None:
        raise ConfigError("--resume and --ckpt_path both say where to go on; give one of them")
    if config["resume"] == "auto":
        newest = newest_checkpoint(Path(config["runs"]), config["name"])
        log.info("resume: %s", newest or "no whole checkpoint yet, so from the beginning")
        return None if newest is None else str(newest.absolute())
    return str(checkpoint_to_resume(Path(config["resume"])).absolute())


def _said_by_a_part(error: BaseException | None) -> AdaWACError | None:
    """The first error of ours among an error and its causes; a package that is missing is one."""
    while error is not None and not isinstance(error, AdaWACError):
        if isinstance(error, ModuleNotFoundError):
            return missing_package(error)
        error = error.__cause__
    return error


def _version(config: Namespace) -> str | None:
    """Go on in the folder of the run that a checkpoint belongs to; else a new one."""
    ckpt_path = config.get("ckpt_path")
    if ckpt_path is None:
        return None
    run = run_of_checkpoint(Path(ckpt_path)).path
    is_its_run = run.parent == (Path(config["runs"]) / config["name"]).resolve()
    return run.name if is_its_run else None
