"""A training from Python: `adawac.fit(data="DATA")` gives a run that can test, predict and be compared."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from adawac.cli.init import plan
from adawac.cli.predict_files import predict_files
from adawac.errors import ConfigError, counted, rounded
from adawac.evaluation import read_run
from adawac.evaluation.shown_table import CaseTable
from adawac.inference.load_runs import load
from adawac.inference.segmenter import Segmenter
from adawac.io.given import given_path, given_paths
from adawac.runs.config_diff import as_arguments
from adawac.runs.folder import RunFolder
from adawac.training.configuration import resolve
from adawac.training.train import train
from adawac.weighting import Weighting

PathLike: TypeAlias = str | os.PathLike[str]

SECTIONS = ("trainer", "data", "model")
"""Of a configuration: what is said of one is added to what the file says."""


class Run:
    """A training that has been done, in its folder.

    Args:
        path: RUNS/NAME/version_K.

    Raises:
        ConfigError: no training lies there.
    """

    def __init__(self, path: PathLike) -> None:
        self.folder = RunFolder.open(given_path(path, "Run: path", "give a run folder, such as runs/NAME/version_0"))

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def method(self) -> str:
        """Class of its weighting, such as AdaWAC."""
        return self.folder.method or "AdaWAC"

    @property
    def dice(self) -> float | None:
        """Dice of its best checkpoint on the validation cases, as predicted; None where there is none (yet).

        Absent organs are left out (policy skip), and no largest part alone is kept: `test` says what it does of both.
        """
        found: float | None = self.folder.record.get("val_dice")
        return found

    @property
    def cases(self) -> CaseTable:
        """What `test` measured."""
        if not self.folder.cases_file.is_file():
            raise ConfigError(f"{self.path} has not been tested; do so first: run.test(), or adawac test {self.path}")
        return CaseTable(read_run(self.folder))

    def test(self, **overrides: Any) -> CaseTable:
        """Measure every metric on the test cases, on their own grids, as `adawac test` does.

        Args:
            overrides: settings, as for `fit`.
        """
        train(resolve(["test", str(self.path), *_arguments(overrides)]))
        return self.cases

    def predict(self, images: PathLike | Iterable[PathLike], out: PathLike, **options: Any) -> list[Path]:
        """Write the labels of images, as `adawac predict` does.

        Args:
            images: image file, folder of a DICOM series, folder of several; or a sequence of these.
            out: folder for the label files.
            options: of `adawac.cli.predict_files.predict_files`, such as `probabilities=True`.

        Returns:
            The label files.
        """
        given = given_paths(images, "predict: images", "give image files, or folders of them")
        return predict_files([self.path], given, given_path(out, "predict: out", "give a folder"), **options)

    def load(self, device: str = "cpu") -> Segmenter:
        """The trained network, to predict arrays and files with."""
        return load(self.path, device)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        record, dice = self.folder.record, self.dice
        epochs = record.get("epochs")
        trained = "not at its end" if epochs is None else counted(epochs, "epoch")
        facts = [self.folder.title, self.method, trained]
        if dice is not None:
            facts.append(f"validation Dice {rounded(dice, 2)}")
        elif epochs is not None:
            facts.append("not validated")
        return f"Run({', '.join(facts)})"


def fit(
    config: PathLike | Sequence[PathLike] | None = None,
    *,
    data: PathLike | Mapping[str, Any] | None = None,
    weighting: str | type[Weighting] | None = None,
    **overrides: Any,
) -> Run:
    """Train, as `adawac fit` does.

    Args:
        config: a configuration, or several of which later ones count; or the name of one that comes with adawac. None:
            planned for `data`, as `adawac init` does, and kept in the run's folder alone.
        data: folder of the data set, or settings of it, such as its `root`; None takes the configuration's.
        weighting: the method: a class, or its name; None takes the configuration's.
        overrides: settings of `adawac fit`: `name="mine"`, `trainer={"max_epochs": 3}`.

    Raises:
        ConfigError: a setting is not known, or settings contradict each other or the data.
        DataError: all problems of the data together.
    """
    remedy = "give a file, and settings by name: trainer={...}, data={...}"
    files = [] if config is None else given_paths(config, "fit: config", remedy)
    given: dict[str, Any] = dict(overrides)
    settings = data if isinstance(data, Mapping) else {} if data is None else {"root": data}
    given |= {f"data.{key}": value for key, value in settings.items()}
    if isinstance(weighting, Weighting):
        raise ConfigError(
            f"fit: weighting is made already, and fit knows of how many samples; give {type(weighting).__name__}, or "
            'model={"weighting": {"class_path": ..., "init_args": {...}}}'
        )
    if weighting is not None:
        given["model.weighting"] = (
            weighting if isinstance(weighting, str) else f"{weighting.__module__}.{weighting.__qualname__}"
        )
    if not files and "root" not in settings:
        raise ConfigError("fit: neither a configuration nor a folder of data is given; give config or data")
    planned = {} if files else yaml.safe_load(plan(settings["root"]))
    folder = train(resolve(["fit", *map(str, files), *_arguments(planned), *_arguments(given)]))
    if folder is None:  # of several processes the first alone goes on
        raise SystemExit(0)
    return Run(folder.path)


def _arguments(overrides: Mapping[str, Any]) -> list[str]:
    """Settings as arguments; a section is taken apart, so that it adds to what a file says."""
    flat: dict[str, Any] = {}
    for key, value in overrides.items():
        if key in SECTIONS and isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            flat[key] = value
    return as_arguments(flat)
