"""Rules that deal out cases to train, validate and test: always whole patients, never single slices or cases."""

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

from adawac.data.layouts.base import Case
from adawac.data.layouts.files import parse_json
from adawac.data.patients import SuggestedPatients
from adawac.data.split import PARTS, Split
from adawac.errors import ConfigError, DataError, did_you_mean, did_you_mean_file, readable, some_of, together
from adawac.io.case_column import as_called, read_lines
from adawac.io.own_code import given_back

_AS_JSON = (
    '{"train": [names], "val": [names], "test": [names]}, where val and test may be missing and names are strings; '
    "write it so"
)
_PART = {"train": "train", "training": "train", "tr": "train"}
_PART |= {"val": "val", "valid": "val", "validation": "val", "vl": "val", "dev": "val"}
_PART |= {"test": "test", "testing": "test", "ts": "test"}
"""What others call the parts, in small letters."""

_OF_SPLITS = re.compile(r"(?:split|fold)s?.*\.(?:json|csv)$|(?:train|val|test)[a-z]*\.txt$", re.IGNORECASE)
"""Names of files that may say how cases are to be dealt out."""


class SplitRule(ABC):
    """How the cases of a data set are dealt out. A subclass says `assign`; `split` also checks the result."""

    def split(self, root: Path, cases: Sequence[Case], patients: Mapping[str, str]) -> Split:
        """Deal out the cases.

        Args:
            root: folder of the data set.
            cases: the cases to deal out, in the data's order.
            patients: the patient of every case, see `adawac.data.patients`.

        Returns:
            A split in which no patient lies in two parts and `train` is not empty.

        Raises:
            DataError: the data cannot be split by this rule.
            ConfigError: a setting of the rule does not fit the data; or it draws, and who is one patient is a guess.
        """
        split = given_back(f"{type(self).__name__}.assign", self.assign(root, cases, patients), Split)
        split.check(patients)
        return split

    @abstractmethod
    def assign(self, root: Path, cases: Sequence[Case], patients: Mapping[str, str]) -> Split:
        """Deal out the cases, arguments as for `split`; the result is not checked yet."""


class LayoutSplit(SplitRule):
    """The parts that the layout itself names, such as the list files of Synapse."""

    def assign(self, root: Path, cases: Sequence[Case], patients: Mapping[str, str]) -> Split:
        """Read each case's own mark."""
        if unmarked := [case.id for case in cases if case.split is None]:
            raise DataError(
                f"LayoutSplit: the folder does not say whether {some_of(unmarked)} is for train, val or test; "
                "choose FractionSplit, FoldSplit, or FileSplit with a split file"
            )
        return _split({part: {case.id for case in cases if case.split == part} for part in PARTS}, cases)


class FileSplit(SplitRule):
    """The parts that a file names: our JSON, nnU-Net's `splits_final.json`, or a CSV with the columns `case,split`.

    Ours is `{"train": [...], "val": [...], "test": [...]}`; nnU-Net's is a list of
    `{"train": [...], "val": [...]}`, one for each fold. `training`, `validation`, `testing` and the like will do. A
    name in a list is a case, which may be called as its file is (`pt_4.nii.gz`, `pt_4_0000`), or a patient, who stands
    for all their cases. Cases of the data that the file does not name are left out, with a warning.

    Args:
        path: the file: absolute, or relative to the folder of the data set, or else to the working folder.
        fold: which entry of a file that lists several folds, from 0; None takes the first, and says so.
    """

    def __init__(self, path: str = "splits.json", fold: int | None = None) -> None:
        if fold is not None and fold < 0:
            raise ConfigError(f"FileSplit: fold must be 0 or more, not {fold}; count the folds from 0")
        self.path = path
        self.fold = fold

    def assign(self, root: Path, cases: Sequence[Case], patients: Mapping[str, str]) -> Split:
        """Read the file and look its names up among cases and patients."""
        file = self._find(root)
        named, notes = self._read(file)
        members: dict[str, set[str]] = {}
        for case in cases:
            members.setdefault(patients[case.id], set()).add(case.id)
        members.update({case.id: {case.id} for case in cases})
        named = {part: [as_called(name, members) for name in names] for part, names in named.items()}
        if unknown := [name for names in named.values() for name in names if name not in members]:
            raise DataError(
                f"{file}: {some_of(unknown)} is neither a case nor a patient of {root}{did_you_mean(unknown, members)} "
                f"remove the name, or add the data (the data's cases are called {some_of([case.id for case in cases])})"
            )
        parts = {part: {case for name in names for case in members[name]} for part, names in named.items()}
        taken = set().union(*parts.values())
        if left_out := [case.id for case in cases if case.id not in taken]:
            warnings.warn(f"{file} puts {some_of(left_out)} into no part: left out", stacklevel=2)
        return replace(_split(parts, cases), notes=notes)

    def _find(self, root: Path) -> Path:
        for file in (root / self.path, Path(self.path)):
            if file.is_file():
                return file
        raise ConfigError(
            f"FileSplit: {self.path} cannot be read (no such file in {root} or {Path.cwd()})"
            f"{did_you_mean_file(root / self.path)} give the path of a split file"
        )

    def _read(self, file: Path) -> tuple[dict[str, list[str]], tuple[str, ...]]:
        """Names in each part as the file has them, and what is to be said of it."""
        try:
            with readable(file):
                content = _of_table(file) if file.suffix.lower() == ".csv" else parse_json(file.read_bytes())
        except OSError as error:
            raise ConfigError(f"FileSplit: {file} cannot be read ({error}); give the path of a split file") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file} is not valid JSON ({error}), but a split is {_AS_JSON}") from error
        folds = content if isinstance(content, list) else [content]
        fold = self.fold or 0
        if fold >= len(folds):
            raise ConfigError(f"FileSplit: fold is {fold}, but {file} has {len(folds)}; choose one below that")
        named = folds[fold]
        if not isinstance(named, dict):
            raise DataError(f"{file}: a split is {_AS_JSON}")
        parts: dict[str, list[str]] = {}
        for key, entries in named.items():
            if (part := _PART.get(key.strip().lower())) is None or part in parts:
                said = f"{key!r} is no part of a split" if part is None else f"{key!r} names the part {part} again"
                raise DataError(f"{file}: {said}, which is {_AS_JSON}")
            names = [_image(entry) for entry in entries] if isinstance(entries, list) else []
            wrong = [name for name in names if not isinstance(name, str)] if isinstance(entries, list) else [entries]
            if wrong:
                raise DataError(f"{file}: {key} holds {wrong[0]!r}, but a split is {_AS_JSON}")
            parts[part] = [normalize("NFC", name) for name in names]
        if "train" not in parts:
            raise DataError(f"{file}: it names no part train, but a split is {_AS_JSON}")
        said = (
            f"{file}: it lists {len(folds)} folds, of which the first is read, fold 0; to choose, set data.split to "
            f"FileSplit with fold 0 to {len(folds) - 1} (and path {self.path}, without test cases)"
        )
        return parts, (said,) * (self.fold is None and len(folds) > 1)


def _image(entry: Any) -> Any:
    """The image of `{"image": ..., "label": ...}`, as MONAI lists cases; of several channels the first."""
    image = entry.get("image") if isinstance(entry, dict) else entry
    return image[0] if isinstance(image, list) and image else image


def _of_table(file: Path) -> dict[str, list[str]]:
    """Names in each part by a CSV file with the columns `case` and `split`."""
    header, lines = read_lines(file)
    if not {"case", "split"} <= set(header):
        raise DataError(f"{file}: needs the columns case and split but has {', '.join(header)[:60]!r}; add them")
    return together((line["split"], line["case"]) for line in lines)


class FractionSplit(SplitRule):
    """A random share of the patients for each part, whatever the order in which the cases are listed.

    Args:
        val: share of the patients that validate, at least one patient where it is above 0.
        test: share of the patients that test, at least one patient where it is above 0.
        seed: another seed gives another split.
    """

    def __init__(self, val: float = 0.15, test: float = 0.2, seed: int = 0) -> None:
        _check_fractions(type(self).__name__, val=val, test=test)
        self.val = val
        self.test = test
        self.seed = seed

    def assign(self, root: Path, cases: Sequence[Case], patients: Mapping[str, str]) -> Split:
        """Shuffle the patients and cut off the test and the validation share."""
        shuffled = _shuffled(cases, patients, self.seed)
        n_test, n_val = _share(self.test, len(shuffled)), _share(self.val, len(shuffled))
        if n_test + n_val >= len(shuffled):
            raise DataError(
                f"FractionSplit: {n_test} test and {n_val} val of {len(shuffled)} patients leave none to "
                "train on; lower val or test, set one to 0, name the parts in a splits.json, or add data"
            )
        test, rest = shuffled[:n_test], shuffled[n_test:]
        return _split_patients({"train": rest[n_val:], "val": rest[:n_val], "test": test}, cases, patients)


class FoldSplit(SplitRule):
    """One fold of a k-fold cross-validation over patients.

    Args:
        fold: which fold validates or tests, 0 to `folds` - 1.
        folds: how many folds, 2 or more.
        test: share of the patients held out for testing before the folds are cut, at least one where above 0; the same
            in every fold.
        seed: another seed gives other folds.
        part: what the fold does. "test": over all folds every patient is tested once; nothing validates, so that
            nothing can choose an epoch by the patients that test.

    Raises:
        ConfigError: `folds` is below 2, there is no such fold, or both the fold and a share are to test.
    """

    def __init__(
        self, fold: int = 0, folds: int = 5, test: float = 0.0, seed: int = 0, part: Literal["val", "test"] = "val"
    ) -> None:
        if folds < 2:
            raise ConfigError(f"FoldSplit: folds must be 2 or more, not {folds}; use FractionSplit for a single split")
        if not 0 <= fold < folds:
            raise ConfigError(f"FoldSplit: fold must be 0 to {folds - 1} with {folds} folds, not {fold}; change it")
        _check_fractions(type(self).__name__, test=test)
        if part == "test" and test:
            raise ConfigError(f"FoldSplit: part is test, so the fold tests, and so would test {test}; set test to 0")
        self.fold = fold
        self.folds = folds
        self.test = test
        self.seed = seed
        self.part = part

    def assign(self, root: Path, cases: Sequence[Case], patients: Mapping[str, str]) -> Split:
        """Shuffle the patients, hold out the test share and take every `folds`-th of the rest."""
        shuffled = _shuffled(cases, patients, self.seed)
        n_test = _share(self.test, len(shuffled))
        rest = shuffled[n_test:]
        if len(rest) < self.folds:
            raise DataError(
                f"FoldSplit: {self.folds} folds need as many patients, but there are {len(rest)} "
                "(without test); lower folds or test, or add data"
            )
        fold = rest[self.fold :: self.folds]
        parts = {"train": set(rest) - set(fold), "val": [], "test": shuffled[:n_test], self.part: fold}
        return _split_patients(parts, cases, patients)


class AutoSplit(SplitRule):
    """What the data set itself says, else fractions: the default.

    In this order: `splits.json` in the folder of the data set, to the letter; the layout's own parts, if it names one
    for every case and not only train, such as the test cases of nnU-Net's `imagesTs`; `FractionSplit()`. Where the
    layout names no validation cases, `FractionSplit(test=0)` draws them from its training cases, so that something
    chooses the checkpoint; `LayoutSplit` draws none.
    """

    def assign(self, root: Path, cases: Sequence[Case], patients: Mapping[str, str]) -> Split:
        """Choose the rule and let it deal out the cases."""
        marks = {case.split for case in cases}
        if (root / "splits.json").exists():
            return FileSplit().assign(root, cases, patients)
        others = [path.name for path in sorted(root.iterdir()) if _OF_SPLITS.match(path.name)] if root.is_dir() else []
        lists = any(name.endswith(".txt") for name in others)
        do = "write it as splits.json" if lists else f"set data.split to FileSplit with path {', '.join(others[:1])}"
        said = f"{root}: {some_of(others)} is not read, as splits.json would be; if a split stands there, {do}"
        notes = (said,) * bool(others)
        if None in marks or marks == {"train"}:
            return replace(FractionSplit().assign(root, cases, patients), notes=notes)
        given = replace(LayoutSplit().assign(root, cases, patients), notes=notes)
        train = [case for case in cases if case.split == "train"]
        if given.val or len({patients[case.id] for case in train}) < 2:  # of one patient none can be spared
            return given
        drawn = FractionSplit(test=0).assign(root, train, patients)
        return replace(given, train=drawn.train, val=drawn.val)


def _split(parts: Mapping[str, Collection[str]], cases: Sequence[Case]) -> Split:
    return Split(**{part: tuple(case.id for case in cases if case.id in chosen) for part, chosen in parts.items()})


def _split_patients(parts: Mapping[str, Collection[str]], cases: Sequence[Case], patients: Mapping[str, str]) -> Split:
    return _split({part: {c for c, p in patients.items() if p in chosen} for part, chosen in parts.items()}, cases)


def _shuffled(cases: Sequence[Case], patients: Mapping[str, str], seed: int) -> list[str]:
    ids = [case.id for case in cases]
    if isinstance(patients, SuggestedPatients):
        patients.refuse(ids)
    # Sorted by a hash and not drawn from a generator, so that neither the order of the cases nor the version
    # of a library can change who is tested on.
    return sorted({patients[id_] for id_ in ids}, key=lambda patient: sha256(f"{seed}:{patient}".encode()).digest())


def _share(fraction: float, patients: int) -> int:
    return max(1, round(fraction * patients)) if fraction > 0 else 0


def _check_fractions(rule: str, **fractions: float) -> None:
    for name, value in fractions.items():
        if not 0 <= value < 1:
            raise ConfigError(f"{rule}: {name} must be a share from 0 to below 1, not {value}; 0.2 is a fifth")
    if sum(fractions.values()) >= 1:
        listed = " + ".join(f"{name} {value}" for name, value in fractions.items())
        raise ConfigError(f"{rule}: {listed} leaves nothing to train on; lower them to a sum below 1")
