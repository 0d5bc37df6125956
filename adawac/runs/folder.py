"""A run's folder, RUNS/NAME/version_K: the one place that knows the names and formats of what lies in it.

config.yaml             all settings, as `adawac fit` read them
split.json              cases that were trained on, validated and left for the test
run.json                what the run was made of, and what it took
checkpoints/best.ckpt   of the highest validation Dice; last.ckpt where it stopped
weights.csv             weight of every training slice, where the method has them
suspects.csv            slices whose labels may be missing
cases.csv               the case table, once `adawac test` has measured it
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from adawac.errors import ConfigError, did_you_mean_file, one_line, readable
from adawac.io.atomic import write_text
from adawac.io.hashing import hash_of
from adawac.runs.record import read_config, read_record
from adawac.runs.suspects import read_suspects

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from adawac.data.split import Split  # needs nibabel
    from adawac.runs.slice_weights import SliceWeights  # needs torch

CASES = "cases.csv"
"""Name of a case table, in the folder of a run and of a report."""


class _File:
    """A file of a run, by its name in the folder; of a `RunFolder` its path."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: "RunFolder", kind: type) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training; `open` takes one that is there, `of_trainer` the one that is being written.

    Attributes:
        path: RUNS/NAME/version_K.
        config_file: all settings.
        split_file: which cases were trained on, validated and left for the test.
        record_file: what the run was made of, and what it took.
        cases_file: the case table, see `adawac.evaluation.read_table`.
        weights_file: weights of all training slices.
        suspects_file: slices whose labels may be missing.
        best: checkpoint of the highest validation Dice.
        last: checkpoint where the training stopped.

    Example:
        >>> run = RunFolder(Path("runs/mine/version_1"))
        >>> run.title, run.experiment, str(run.runs), str(run.best)
        ('mine/version_1', 'mine', 'runs', 'runs/mine/version_1/checkpoints/best.ckpt')
    """

    path: Path

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The folder of a run that was trained.

        Raises:
            ConfigError: if it holds no configuration.
        """
        run = cls(Path(path).resolve())
        if not run.config_file.is_file():
            raise ConfigError(
                f"{path} is no run folder (no {run.config_file.name} in it){run.meant} give one such as "
                "runs/NAME/version_0"
            )
        return run

    @classmethod
    def of_trainer(cls, trainer: "pl.Trainer") -> "RunFolder | None":
        """The folder that this process writes: none in processes but the first, without a folder, or in a trial run."""
        folder = trainer.log_dir  # broadcast: every process has to ask
        if folder is None or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return None
        return cls(Path(folder))

    @classmethod
    def versions(cls, runs: Path, name: str) -> "list[RunFolder]":
        """All runs of an experiment, the newest first."""
        found = [cls(folder) for folder in (Path(runs) / name).glob("version_*") if folder.name[8:].isdecimal()]
        return sorted(found, key=lambda run: run.version, reverse=True)

    @classmethod
    def claim(cls, runs: Path, name: str, version: int | None = None) -> "RunFolder":
        """Make the folder of a new run, which is no other process's, however many begin at once.

        Args:
            runs: folder of all runs.
            name: of the experiment.
            version: K of version_K; None for the next.

        Raises:
            FileExistsError: there is this version already.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> with TemporaryDirectory() as runs:
            ...     [RunFolder.claim(Path(runs), "mine").title for _ in range(3)]
            ['mine', 'mine/version_1', 'mine/version_2']
        """
        experiment = Path(runs) / name
        while True:
            newest = next(iter(cls.versions(runs, name)), None)
            number = version if version is not None else newest.version + 1 if newest else 0
            experiment.mkdir(parents=True, exist_ok=True)
            try:
                (experiment / f"version_{number}").mkdir()
            except FileExistsError:
                if version is not None:
                    raise
            except FileNotFoundError:  # the last run that lay there was just taken away
                continue
            else:
                return cls(experiment / f"version_{number}")

    # --- names --------------------------------------------------------------------------------------------------------

    @property
    def runs(self) -> Path:
        """Folder of all experiments."""
        return self.path.parent.parent

    @property
    def experiment(self) -> str:
        """Name of the experiment."""
        return self.path.parent.name

    @property
    def version(self) -> int:
        """K of version_K."""
        return int(self.path.name.removeprefix("version_"))

    @property
    def title(self) -> str:
        """What a report calls the run: its experiment, and its version where that is not the first."""
        return self.experiment if self.path.name == "version_0" else f"{self.experiment}/{self.path.name}"

    config_file = _File("config.yaml")
    split_file = _File("split.json")
    record_file = _File("run.json")
    cases_file = _File(CASES)
    weights_file = _File("weights.csv")
    suspects_file = _File("suspects.csv")
    best = _File("checkpoints/best.ckpt")
    last = _File("checkpoints/last.ckpt")

    @property
    def checkpoints(self) -> list[Path]:
        """All checkpoints that are there."""
        return sorted(self.last.parent.glob("*.ckpt"))

    @property
    def exists(self) -> bool:
        """Whether a run lies here: trained, or tested and then freed of all but its case table."""
        return self.config_file.is_file() or self.cases_file.is_file()

    @property
    def meant(self) -> str:
        """What is meant by the folder of a run's versions, or by one in it; else what lies there and is called so."""
        near = *RunFolder.versions(self.path.parent, self.path.name), RunFolder(self.path.parent)
        return next((f"; did you mean {run.path}?" for run in near if run.exists), did_you_mean_file(self.path))

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def checkpoint(self) -> Path:
        """What predictions are made with: the best checkpoint, else the last.

        Raises:
            ConfigError: if there is neither.
        """
        for path in (self.best, self.last):
            if path.is_file():
                return path
        raise ConfigError(
            f"{self.path}: neither a checkpoint nor a run folder with checkpoints/{self.best.name} or {self.last.name} "
            f"in it{self.meant} give one such as runs/NAME/version_0"
        )

    @property
    def stale_cases(self) -> str | None:
        """Why the case table is not that of the checkpoint that is there now, and the remedy; None where nothing is.

        Tables that do not say their checkpoint, and those whose checkpoints have been deleted, are taken as they are.
        """
        then = _checkpoint_of(self.cases_file)
        try:
            path = self.checkpoint
        except ConfigError:
            return None
        now = hash_of(path)
        if then in ("", now):
            return None
        return (
            f"{self.cases_file} was measured with another checkpoint ({then}) than {path.relative_to(self.path)} is "
            f"now ({now}); measure it: adawac test {self.path}"
        )

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """All settings; empty where none are recorded.

        Raises:
            ConfigError: if the file is damaged.
        """
        return _mapping(self.config_file, read_config)

    def setting(self, part: Literal["model", "data"], key: str) -> Any:
        """What the configuration says of the model or the data; None where it says nothing."""
        section = self.config.get(part)
        return section.get(key) if isinstance(section, dict) else None

    @property
    def method(self) -> str:
        """Class name of its weighting, such as AdaWAC; empty where the configuration names none."""
        given = self.setting("model", "weighting")
        return str((given.get("class_path") if isinstance(given, dict) else given) or "").rpartition(".")[2]

    @property
    def patient_pattern(self) -> str | None:
        """What patients were when it was trained: in 0.1 every case, where nothing is said; `auto` without a run.

        Raises:
            ConfigError: if the file is damaged.
        """
        data = self.config.get("data")
        pattern: str | None = data.get("patient_pattern") if isinstance(data, dict) else "auto"
        return pattern

    @property
    def record(self) -> dict[str, Any]:
        """What the run was made of, and what it took; empty where nothing is recorded.

        Raises:
            ConfigError: if the file is damaged.
        """
        return _mapping(self.record_file, read_record)

    @property
    def split(self) -> "Split | None":
        """Which cases were trained on, validated and left for the test; None where it is not recorded.

        Raises:
            ConfigError: if the file is damaged.
        """
        from adawac.data.split import Split

        parts = _mapping(self.split_file, json.loads)
        try:
            return Split(**{part: tuple(map(str, cases)) for part, cases in parts.items()}) if parts else None
        except TypeError as error:
            raise _damaged(self.split_file, error) from error

    @property
    def weights(self) -> "SliceWeights | None":
        """Weights of all training slices; None where the method has none."""
        from adawac.runs.slice_weights import SliceWeights

        return SliceWeights.read(self.weights_file) if self.weights_file.is_file() else None

    @property
    def suspects(self) -> tuple[str, ...] | None:
        """Slices whose labels may be missing, the hardest first; None where nobody looked."""
        return read_suspects(self.suspects_file) if self.suspects_file.is_file() else None

    # --- writing ------------------------------------------------------------------------------------------------------

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write what `record` reads, whole or not at all."""
        write_text(self.record_file, json.dumps(record, indent=1) + "\n")

    def write_split(self, split: "Split") -> None:
        """Write what `split` reads, whole or not at all."""
        split.save(self.split_file)


def find_checkpoint(path: Path) -> Path:
    """The checkpoint meant by a path: a file itself, or the best (else the last) one of a run folder.

    Raises:
        ConfigError: if there is none.
    """
    path = path.expanduser()
    return path if path.is_file() else RunFolder(path).checkpoint


def run_of_checkpoint(path: Path) -> RunFolder:
    """The folder of the run that a checkpoint belongs to."""
    return RunFolder(path.resolve().parent.parent)


def _checkpoint_of(table: Path) -> str:
    """Hash of the checkpoint that a case table was measured with; "" where it does not say."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.DictReader(file), {}).get("checkpoint_hash") or ""
    except (OSError, ValueError, csv.Error):  # whoever reads the table will say so
        return ""


def _mapping(path: Path, parse: Any) -> dict[str, Any]:
    try:
        with readable(path):
            content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise _damaged(path, TypeError(f"{type(content).__name__} where a mapping is due"))
    return content


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{path}: damaged ({one_line(error)}); take it from a backup, or move the run away and train it anew"
    )
