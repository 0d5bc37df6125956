"""What a study is: its YAML read and checked, the grid as cells, and how far each cell is. Runs nothing.

    name: openkbp5                        # the study lies in RUNS/openkbp5, each cell in a folder of its name
    config: ../openkbp5_unet.yaml  # one or several, relative to this file or to the working folder
    common: {trainer.max_epochs: 4}       # of every cell
    grid:
      method:                             # an axis: name of the option -> its keys
        erm: {model.weighting: ERM}
        adawac: {}
      subset:
        full: {}
        sparse: {config: ../overlays/sparse_mix.yaml}
      seed: [0, 1]                        # short for seed0: {seed_everything: 0}, seed1: ...
    resources: {gpus: 1, cpus: 8, memory: 32G, time: "8:00:00"}  # of each cell, if need be

A key means what `--key value` means for `adawac fit`, and comes after the keys above it: files, common keys, axes in
their order. Any key can be an axis in the short form: `model.dice_ratio: [0.25, 0.5]`. The axes `seed` and `fold` are
averaged over; what is called `method` is compared on each `subset`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml

from adawac.errors import ConfigError, did_you_mean, did_you_mean_file, readable
from adawac.io.atomic import write_text
from adawac.io.yaml_text import bounded
from adawac.runs.config_diff import as_arguments
from adawac.runs.folder import RunFolder
from adawac.study.resources import Resources

State = Literal["new", "stopped", "failed", "finished"]

SEED = "seed"
"""The axis over which a method is averaged."""

FOLD = "fold"
"""The axis of cross-validation, likewise: its options train on other patients, and may test others."""

METHOD, SUBSET = "method", "subset"
"""The axes that name what is compared, and on what it was trained."""

_PORTABLE = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.+-]*[A-Za-z0-9_])?")
_OWN = ("name", "runs", "ckpt_path")
_COLUMNS = ("run", "case", "patient", "class", "group", "metric", "value", "policy")
_FURTHER = ("checkpoint_hash", "config_hash", "data_hash", "predicted_with")


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
        name: of the cell and of its folder, the same on every platform.
        options: axis -> name of the option.
        arguments: what `adawac fit` would be given for it, but for the folder of the runs.
        folder: RUNS/STUDY/CELL with cell.yaml, cell.log, cell.json and the run, version_0.
    """

    name: str
    options: Mapping[str, str]
    arguments: tuple[str, ...]
    folder: Path

    @property
    def run(self) -> RunFolder:
        """Folder of the run; its case table is the last that a cell writes."""
        return RunFolder(self.folder / "version_0")

    @property
    def config(self) -> Path:
        """All settings of the run that are not defaults."""
        return self.folder / "cell.yaml"

    @property
    def log(self) -> Path:
        """What the run says."""
        return self.folder / "cell.log"

    @property
    def settings(self) -> Mapping[str, str]:
        """The options without seed and fold: cells that have these in common are averaged."""
        return {axis: option for axis, option in self.options.items() if axis not in (SEED, FOLD)}

    @property
    def state(self) -> State:
        """How far it is, by what lies in its folder: finished once its present checkpoint is tested."""
        if self.run.cases_file.is_file() and self.run.stale_cases is None:
            return "finished"
        if self.record.get("exit_code"):
            return "failed"
        return "stopped" if self.run.last.is_file() else "new"

    @property
    def record(self) -> Mapping[str, Any]:
        """`seconds` spent on it so far, all attempts, and `exit_code` of the last; empty before the first ended."""
        try:
            record: dict[str, Any] = json.loads((self.folder / "cell.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) and isinstance(record.get("seconds", 0.0), (int, float)) else {}

    def write_record(self, seconds: float, exit_code: int | None) -> None:
        """Write what `record` reads; an exit code of None means that it was stopped."""
        text = json.dumps({"seconds": round(seconds, 1), "exit_code": exit_code})
        write_text(self.folder / "cell.json", text + "\n")


@dataclass(frozen=True)
class Study:
    """A grid of runs.

    Attributes:
        name: of the study and of its folder.
        folder: RUNS/STUDY.
        axes: names of the axes, in the order of the file.
        cells: one for each combination of options, in the order in which they are run.
        resources: what each cell may use.
    """

    name: str
    folder: Path
    axes: tuple[str, ...]
    cells: tuple[Cell, ...]
    resources: Resources = field(default_factory=Resources)

    def take(self, names: Sequence[str]) -> tuple[Cell, ...]:
        """The cells of these names.

        Raises:
            ConfigError: naming those that the study does not have.
        """
        of_name = {cell.name: cell for cell in self.cells}
        if unknown := [name for name in names if name not in of_name]:
            raise ConfigError(
                f"study {self.name} has no cell {', '.join(unknown)}; "
                f"`--dry-run` lists what it has, such as {self.cells[0].name}"
                f"{did_you_mean(unknown, of_name).rstrip(';')}"
            )
        return tuple(of_name[name] for name in dict.fromkeys(names))

    def check_reference(self, name: str) -> None:
        """Refuse a method, or a setting of a cross-validation, that no cell has: before they run, not after.

        Raises:
            ConfigError: naming those that there are.
        """
        methods = {self.labels(cell)[0]: None for cell in self.cells}
        if name not in methods and name not in {"-".join(cell.settings.values()) for cell in self.cells}:
            known = ", ".join(methods)
            raise ConfigError(
                f"--reference {name}: the study has no such method{did_you_mean(name, methods)} give one of {known}"
            )

    def labels(self, cell: Cell) -> tuple[str, str]:
        """Method and training subset of a cell: the option of the axis `method`; those of others but seed and fold.

        Without such an axis the first that is none of these nor the subset takes its place.
        """
        axes = [axis for axis in self.axes if axis not in (SEED, FOLD)]
        method = METHOD if METHOD in axes else next((axis for axis in axes if axis != SUBSET), "")
        return cell.options.get(method, ""), ", ".join(cell.options[axis] for axis in axes if axis != method)


def read_study(path: Path, runs: Path, more: Sequence[str] = ()) -> Study:
    """Read a STUDY.yaml and expand its grid.

    Args:
        path: the file; what it may say stands at the top of this module.
        runs: folder of all runs and studies.
        more: arguments for `adawac fit` that every cell gets after all others.

    Raises:
        ConfigError: the file, a file that it names, or its content breaks a rule.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "study.yaml"
        ...     _ = file.write_text("{name: tiny, grid: {method: {erm: {model.weighting: ERM}}, seed: [0, 1]}}")
        ...     study = read_study(file, Path("runs"))
        >>> [cell.name for cell in study.cells]
        ['erm-seed0', 'erm-seed1']
        >>> study.cells[1].arguments
        ('--model.weighting=ERM', '--seed_everything=1', '--name=erm-seed1')
    """
    content = _load(path)
    keys = ("name", "config", "common", "grid", "resources")
    if unknown := sorted(map(str, content.keys() - set(keys))):
        meant = did_you_mean(unknown, keys).rstrip(";")
        raise ConfigError(f"{path}: a study has no {', '.join(unknown)}; it has {', '.join(keys)}{meant}")
    name = _portable(content.get("name", path.stem), f"{path}: name")
    common = _mapping(content.get("common") or {}, f"{path}: common")
    if "config" in content:
        common = {"config": content["config"], **common}
        if "config" in (content.get("common") or {}):
            raise ConfigError(f"{path}: config is given twice; list all files in `config`, leave it out of `common`")
    shared = _arguments(common, path, "common")
    grid = _mapping(content.get("grid") or {}, f"{path}: grid")
    if not grid:
        raise ConfigError(f"{path}: the grid is empty; give at least one axis, such as `grid: {{seed: [0, 1, 2]}}`")

    axes: dict[str, dict[str, list[str]]] = {}
    for key, given in grid.items():
        axis = _portable(SEED if key == "seed_everything" else str(key).rpartition(".")[2], f"{path}: grid")
        if axis in axes or axis in (*_COLUMNS, *_FURTHER):
            raise ConfigError(
                f"{path}: an axis cannot be called {axis} (taken); give it a name, and its options theirs"
            )
        axes[axis] = {
            _portable(option, f"{path}: grid.{key}"): _arguments(keys, path, f"grid.{key}.{option}")
            for option, keys in _options(str(key), axis, given, path).items()
        }
    folder = runs / name
    cells = []
    for chosen in product(*(options.items() for options in axes.values())):
        cell = "-".join(option for option, _ in chosen)
        arguments = [*shared, *(argument for _, keys in chosen for argument in keys), *more, f"--name={cell}"]
        options = dict(zip(axes, (option for option, _ in chosen), strict=True))
        cells.append(Cell(cell, options, tuple(arguments), folder / cell))
    _check_distinct([cell.name for cell in cells], f"{path}: cells")
    if SEED in axes:  # seed by seed, so that whatever is finished compares all methods
        seeds = list(axes[SEED])
        cells.sort(key=lambda cell: seeds.index(cell.options[SEED]))
    place = f"{path}: resources"
    resources = Resources.read(_mapping(content.get("resources") or {}, place), place)
    return Study(name, folder, tuple(axes), tuple(cells), resources)


def _load(path: Path) -> dict[str, Any]:
    try:
        with readable(path):
            content = yaml.safe_load(bounded(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: cannot be read as YAML ({error}){did_you_mean_file(path)} give the file of a study"
        ) from error
    return _mapping(content, str(path))


def _mapping(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: needs `key: value` lines, found {value!r}; write a mapping")
    return value


def _options(key: str, axis: str, given: object, path: Path) -> dict[Any, Any]:
    """Name of each option of an axis -> its keys, whichever way the axis was written."""
    place = f"{path}: grid.{key}"
    if isinstance(given, dict) and given:
        return given
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{place}: needs options, found {given!r}; map names to keys, or list values such as [0, 1]")
    if key in (METHOD, SUBSET):
        raise ConfigError(
            f"{place}: {key} is no setting of `adawac fit`, so names alone set nothing; give each its keys, such as "
            f"`{key}: {{{given[0]}: {{model.weighting: Pair}}}}`"
        )
    if wrong := [value for value in given if not isinstance(value, (str, int, float))]:
        raise ConfigError(f"{place}: {wrong[0]!r} cannot name an option; write `name: {{{key}: {wrong[0]!r}}}`")
    names = [value if isinstance(value, str) else f"{axis}{json.dumps(value)}" for value in given]
    _check_distinct(names, place)
    setting = "seed_everything" if key == SEED else key
    return {name: {setting: value} for name, value in zip(names, given, strict=True)}


def _arguments(keys: object, path: Path, place: str) -> list[str]:
    """Config keys as arguments of `adawac fit`."""
    arguments: list[str] = []
    for key, value in _mapping({} if keys is None else keys, f"{path}: {place}").items():
        if key in _OWN:
            raise ConfigError(f"{path}: {place}.{key} is set by the study itself; leave it out")
        if key == "config":
            value = [_find(str(file), path) for file in (value if isinstance(value, list) else [value])]
        arguments += as_arguments({key: value})
    return arguments


def _find(file: str, path: Path) -> Path:
    """A file, relative to the study or to the working folder."""
    places = [path.parent / file, Path(file).expanduser()]
    for place in places:
        if place.is_file():
            return place.resolve()
    meant = max(map(did_you_mean_file, places), key=len)
    raise ConfigError(
        f"{path}: there is no file {file}, neither beside the study nor here{meant} looked for {places[0]}"
    )


def _portable(name: object, place: str) -> str:
    if not isinstance(name, str) or not _PORTABLE.fullmatch(name) or len(name) > 100:
        raise ConfigError(
            f"{place}: {name!r} cannot name a folder on every platform; take letters, digits and _ . + - within "
            "(in quotes where YAML reads a number, yes or no)"
        )
    return name


def _check_distinct(names: Sequence[str], place: str) -> None:
    """No two names, not even for a file system that knows no capitals."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.get(name.casefold())) is not None:
            raise ConfigError(f"{place}: the name {name} comes twice (the other is {other}); rename one of them")
        seen[name.casefold()] = name
