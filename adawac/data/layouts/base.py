"""The contract of an on-disk layout: a folder in; cases, labels and what is known of their intensities out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from adawac.data.modality import Modalities, current
from adawac.errors import ConfigError, DataError, name_problems
from adawac.io.own_code import given_back
from adawac.io.volumes import Volume


@dataclass(frozen=True)
class Case:
    """One volume of a data set.

    Attributes:
        id: name of the case, unique in its data set.
        images: files of the image; several for several channels, or one a slice.
        label: files of the label; empty where there is none.
        split: "train", "val" or "test" where the layout itself says so, else None.
        masks: whether the files of the label are a mask an organ, see `adawac.data.layouts.masks`.
    """

    id: str
    images: tuple[Path, ...]
    label: tuple[Path, ...] = ()
    split: Literal["train", "val", "test"] | None = None
    masks: bool = False


@dataclass(frozen=True)
class Collection:
    """What a layout found in a folder.

    Attributes:
        name: of the data set.
        cases: in sorted order of their ids (natural order: pt_4 before pt_13).
        labels: class name of every label value on disk, `{0: "background", 1: "liver", ...}`.
        channels: names of the image's channels.
        modality: kind of intensities, of all channels or of each.
        ignore_value: label value on disk that is left out of losses and metrics, or None.
        known_by: what the modality is known by, such as "the layout".
        passed_over: lines that name what lies beside the data and is not read.
        unannotated: first files of images that have no label.
        places: folders or patterns that its images lie in, one a channel; empty where their names tell channels apart.

    Raises:
        DataError: a name that is not allowed, see `adawac.errors.name_problems`; a `ListingError` if of some cases.
        ConfigError: the modality is that of more or fewer channels.
    """

    name: str
    cases: tuple[Case, ...]
    labels: Mapping[int, str]
    channels: tuple[str, ...]
    modality: Modalities
    ignore_value: int | None = None
    known_by: str = "the layout"
    passed_over: tuple[str, ...] = ()
    unannotated: tuple[Path, ...] = ()
    places: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "modality", current(self.modality))
        if not isinstance(self.modality, str) and len(self.modality) != len(self.channels):
            raise ConfigError(
                f"modality names {len(self.modality)} kinds but there are {len(self.channels)} channels; name one for "
                "each"
            )
        named = {"data set": [self.name], "class": self.labels.values(), "channel": self.channels}
        problems = [problem for kind, names in named.items() for problem in name_problems(kind, names)]
        bad = {case.id: problem for case in self.cases for problem in name_problems("case", [case.id])}
        sound = tuple(case for case in self.cases if case.id not in bad)
        if problems or (self.cases and not sound):
            raise DataError.from_problems([*problems, *bad.values()])
        if bad:
            raise ListingError([*bad.values()], replace(self, cases=sound))

    def told(self, modality: Modalities | None = None, ignore_value: int | None = None) -> "Collection":
        """The same, where somebody says otherwise than the layout; None leaves what it found."""
        if ignore_value is not None and not isinstance(ignore_value, int):
            raise ConfigError(f"ignore_label is {ignore_value!r}; give the label value, a whole number")
        kept = self.ignore_value if ignore_value is None else ignore_value
        if modality is None:
            return replace(self, ignore_value=kept)
        return replace(self, modality=modality, known_by="--modality", ignore_value=kept)


class ListingError(DataError):
    """Files that a data set lists, or that belong together, are not there.

    Args:
        problems: a line a case.
        sound: the collection without these cases.
    """

    def __init__(self, problems: Sequence[str], sound: Collection) -> None:
        super().__init__(str(DataError.from_problems(problems)), problems)
        self.sound = sound


class Layout(ABC):
    """How a data set lies on disk. One subclass, one file; no state but its own settings."""

    @abstractmethod
    def matches(self, root: Path) -> bool:
        """Whether `root` looks like this layout (cheap: names of files and folders only)."""

    @abstractmethod
    def scan(self, root: Path) -> Collection:
        """List the cases of `root` without reading their voxels.

        Raises:
            DataError: naming what is missing or contradictory, and the remedy.
        """

    def scan_reading(self, root: Path, chosen: Callable[[Sequence[Case]], Sequence[Case]]) -> Collection:
        """As `scan`; of a layout whose folders do not say everything, voxels of the chosen cases alone are read for it.

        Args:
            root: folder of the data set.
            chosen: picks some of the cases that have been found.
        """
        return self.scan(root)

    def sound(
        self, root: Path, chosen: Callable[[Sequence[Case]], Sequence[Case]] | None = None
    ) -> tuple[Collection, tuple[str, ...]]:
        """What is whole, by `scan` or of chosen cases by `scan_reading`; and the problems of cases that are not."""
        try:
            found: object = self.scan(root) if chosen is None else self.scan_reading(root, chosen)
            return given_back(f"{type(self).__name__}.scan", found, Collection), ()
        except ListingError as error:
            return error.sound, error.problems

    @abstractmethod
    def read_image(self, case: Case) -> Volume:
        """Read a case's image as a float32 or integer `Volume`, (C, Z, Y, X), intensities as on disk."""

    @abstractmethod
    def read_label(self, case: Case) -> Volume:
        """Read a case's label as an integer `Volume` of values as on disk, (1, Z, Y, X)."""
