"""How a training is configured: what can be set, and one function that reads it from arguments or from a mapping."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from jsonargparse import ArgumentError, Namespace
from jsonargparse.typing import PositiveInt
from lightning.pytorch.cli import LightningArgumentParser

from adawac.data.datamodule import SegmentationData
from adawac.errors import ConfigError
from adawac.io.own_code import find_in_working_folder
from adawac.io.remote import refuse_addresses
from adawac.io.shipped import files_first, with_shipped, with_value
from adawac.runs.config_diff import as_arguments
from adawac.runs.folder import RunFolder
from adawac.training.others_runs import config_of
from adawac.training.task import SegmentationTask
from adawac.training.typed_parser import TypedParser

FIT_ALONE = {"--resume", "--non_finite", "--times", "--pictures"}
"""Options that do nothing where nothing is trained."""


@dataclass(frozen=True)
class Config:
    """All settings of one command of training, see `resolve`.

    Attributes:
        command: fit, validate or test.
        values: every setting, defaults included, such as `values["data.root"]`.
    """

    command: str
    values: Namespace

    @cached_property
    def text(self) -> str:
        """YAML of what is not a default."""
        return parser_of(self.command).dump(self.values, skip_unset=False, skip_default=True, skip_validation=True)


def resolve(given: Sequence[str] | Mapping[str, Any], *, exit_on_error: bool = False) -> Config:
    """Read settings as `adawac fit`, `validate` or `test` does; nothing is made or run.

    Args:
        given: the command and its arguments, as on the command line: files of settings may stand first, and a run
            folder in their place for `validate` and `test`. Or the settings of `fit`, with dotted or nested keys;
            `config` names one file or several. What comes later counts.
        exit_on_error: print what is wrong below the usage and leave with status 2, as a command line does.

    Raises:
        ConfigError: a key or a value that the command does not take, in the command line's words.

    Example:
        >>> unet = "monai.networks.nets.UNet"
        >>> given = {"model.network.architecture": unet, "data": {"root": "DATA", "size": [32, 32]}}
        >>> config = resolve({**given, "model.weighting": "ERM"})
        >>> config.values["data.root"], config.values["model.weighting.class_path"]
        ('DATA', 'adawac.ERM')
        >>> resolve({**given, "data.sizes": 3})
        Traceback (most recent call last):
        adawac.errors.ConfigError: unrecognized arguments: --data.sizes=3
          --data.sizes is not known; did you mean --data.size?
    """
    argv = ["fit", *as_arguments(given)] if isinstance(given, Mapping) else list(given)
    if argv[0] != "fit" and (idle := {option.partition("=")[0] for option in argv} & FIT_ALONE):
        raise ConfigError(f"{', '.join(sorted(idle))} means something to `adawac fit` alone; leave it out")
    find_in_working_folder()  # classes of the user's own, such as `--model.weighting hard.HardHalf`
    parser = parser_of(argv[0])
    parser.exit_on_error = exit_on_error
    try:
        values = parser.parse_args(_expand(argv)[1:])
    except ArgumentError as error:
        raise parser.refusal(error) from None
    _refuse_empty_keys(argv[0], values)
    folders = {"runs": values.get("runs")} | {f"data.{key}": of for key, of in vars(values.data).items()}
    refuse_addresses(folders.items())
    return Config(argv[0], values)


class TrainingParser(TypedParser, LightningArgumentParser):
    """Lightning's parser, which suggests what was meant."""


@cache
def parser_of(command: str) -> TrainingParser:
    """All options of fit, validate or test, made once in a process: trainer, task and data module, and the run's own.

    One seed rules both; a run folder is named as the experiment.
    """
    given = "YAML" if command == "fit" else "RUN [--trust]"
    parser = TrainingParser(
        prog=f"adawac {command}",
        # Above what is wrong with an option, in place of the names of all of them.
        usage=f"adawac {command} {given} [--KEY VALUE ...]",
        description=str(getattr(pl.Trainer, command).__doc__).strip().partition("\n")[0],
        dump_header=[f"lightning.pytorch=={pl.__version__}"],  # type: ignore[attr-defined]
    )
    parser.add_argument("-c", "--config", action="config", help="Path to a configuration file in json or yaml format.")
    parser.add_argument(
        "--seed_everything",
        type=bool | int,
        default=1234,
        help="Set to an int to run seed_everything with this value before classes instantiation. Set to True to use a "
        "random seed.",
    )
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.set_defaults(
        {
            "trainer.use_distributed_sampler": False,
            "trainer.max_epochs": 20,
            "trainer.log_every_n_steps": 10,
            "trainer.enable_model_summary": False,
        }
    )
    parser.add_lightning_class_args(SegmentationTask, "model")
    parser.add_lightning_class_args(SegmentationData, "data")
    parser.add_function_arguments(_options_of_a_run, as_group=False)
    for seed in ("data.seed", "model.seed"):
        parser.link_arguments("seed_everything", seed, compute_fn=seed_of)
    parser.add_method_arguments(pl.Trainer, command, skip=NO_SETTINGS)
    return parser


def _options_of_a_run(
    name: str = "run",
    runs: str = "runs",
    resume: str | None = None,
    non_finite: Literal["stop", "skip"] = "stop",
    times: PositiveInt = 1,
    pictures: bool = True,
) -> None:
    """Says what can be set besides trainer, task and data.

    Args:
        name: name of the experiment: runs/NAME/version_K
        runs: folder of all runs
        resume: auto: go on from the newest whole checkpoint of the run, or begin it; or a run folder or checkpoint
        non_finite: what a loss or gradient that is not finite does: stop the training, or leave the batch out
        times: so many times the trainer's epochs (or steps), validated as often in all; such as 2 for training on one
            view, which costs half of training on two
        pictures: draw weights and predictions into TensorBoard at every validation; takes a second or two
    """


NO_SETTINGS = {"model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule"}
"""Arguments of the trainer's methods that are made from settings."""


def seed_of(seed_everything: bool | int) -> int:
    """The one number that a seed stands for: true, any seed, is 0; so is false, where only ours has a seed."""
    return 0 if isinstance(seed_everything, bool) else seed_everything


@cache
def _usual(command: str) -> Namespace:
    """The default of every setting."""
    return parser_of(command).get_defaults(skip_validation=True)


def _refuse_empty_keys(command: str, values: Namespace) -> None:
    """Refuse null where a value must be: the parser takes a key of a file with nothing behind it for one not given."""
    parser, usual = parser_of(command), _usual(command)
    empty = [group for group in parser.groups or () if values.get(group, "") is None]
    if any(value is None and usual.get(key, "") is not None for key, value in values.items()):  # else spare the time
        try:
            parser.validate(values, skip_unset=False)
        except TypeError as error:
            empty.append(str(error).partition('"')[2].partition('"')[0])
    if empty:
        raise ConfigError(f"{empty[0]} has nothing behind it; give it a value, or leave the key out")


def _expand(argv: list[str]) -> list[str]:
    """Files that stand first are `--config`; `test RUN` is that run's settings (`config_of`), checkpoint and split."""
    command, *more = argv
    # As `adawac init` calls it.
    more = ["--data.skip_bad=true" if option == "--skip-bad" else option for option in more]
    if command == "fit" or not more or more[0].startswith("-"):
        return [command, *files_first(more)]
    run = RunFolder.open(Path(more[0]))
    options = {
        "--config": config_of(run, trust="--trust" in more),
        "--ckpt_path": str(run.checkpoint),
        "--runs": str(run.runs),
        "--name": run.experiment,
        "--trainer.logger": "null",  # trackers follow the training
        **as_trained(run),
    }
    own = {"best": str(run.best), "last": str(run.last)}  # as Lightning calls them
    given = with_value(with_shipped(more[1:]), "--ckpt_path", lambda value: own.get(value, value))
    given = [option for option in given if option != "--trust"]
    return [command, *(f"{option}={value}" for option, value in options.items()), *given]


def as_trained(run: RunFolder) -> dict[str, str]:
    """Options that set a run's own patients and split, whatever has become of the rule, its file and the data since."""
    options = {}
    if run.patient_pattern is None:  # also where it was a default that is not written down
        options["--data.patient_pattern"] = "null"
    if run.split_file.is_file():
        # Every argument is said: what the run's own rule had, such as a fold, would stay otherwise.
        split = {"class_path": "FileSplit", "init_args": {"path": str(run.split_file), "fold": 0}}
        options["--data.split"] = json.dumps(split)
    return options
