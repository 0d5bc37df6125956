"""How label values on disk become class indices of the network, and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adawac.errors import ConfigError, DataError, did_you_mean, name_problems, some_of
from adawac.types import IGNORE_INDEX

_MANY = 20
"""Values without a name that no label map holds, but every image."""

LAST_VALUES = (255, 32767, 65535)
"""The largest numbers of types that label files have: what is not labelled is often called so."""


@dataclass(frozen=True)
class Classes:
    """The classes of a task: names of their indices, and the label values that stand for them on disk.

    Attributes:
        names: K class names, background first, then in the order of their label values.
        indices: (label value on disk, class index) of every allowed value, by value; dropped ones have
            index 0 and the ignored one has `IGNORE_INDEX`.
        values: K label values that predictions are written with.

    Example:
        >>> labels = {0: "background", 1: "left_kidney", 2: "spleen", 3: "right_kidney"}
        >>> classes = Classes.from_labels(labels, merge={"kidney": ["left_kidney", "right_kidney"]})
        >>> classes.names
        ('background', 'kidney', 'spleen')
        >>> classes.encode(np.array([0, 1, 2, 3])).tolist()
        [0, 1, 2, 1]
        >>> classes.decode(np.array([0, 1, 2], np.uint8)).tolist()
        [0, 1, 2]
    """

    names: tuple[str, ...]
    indices: tuple[tuple[int, int], ...]
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if problems := name_problems("class", self.names):
            raise ConfigError("\n  ".join(problems))

    @classmethod
    def from_labels(
        cls,
        labels: Mapping[int, str],
        ignore_value: int | None = None,
        drop: Sequence[str] = (),
        merge: Mapping[str, Sequence[str]] | None = None,
    ) -> "Classes":
        """Classes of a data set, some of them dropped or merged by name.

        Args:
            labels: class name of every label value on disk; 0 is the background.
            ignore_value: label value on disk that is left out of losses and metrics.
            drop: names of classes that become background.
            merge: for each new class the names of its members; it stands at its first member's place.

        Raises:
            DataError: if two label values have one name, one is below 0, another than 0 is called background, or there
                is none but the background.
            ConfigError: if a name is unknown or used twice, if the background is dropped or merged, or if no
                foreground class is left.
        """
        raw = {0: labels.get(0, "background")} | {k: labels[k] for k in sorted(labels) if k not in (0, ignore_value)}
        _check(raw, ignore_value, drop, merge or {})
        merged = {member: new for new, members in (merge or {}).items() for member in members}
        names: list[str] = []
        values: list[int] = []
        indices: dict[int, int] = {}
        for value, name in raw.items():
            if name in drop:
                indices[value] = 0
                continue
            name = merged.get(name, name)
            if name not in names:
                names.append(name)
                values.append(value)
            indices[value] = names.index(name)
        if not 2 <= len(names) <= IGNORE_INDEX:
            raise ConfigError(
                f"a task has 1 to {IGNORE_INDEX - 1} foreground classes but {len(names) - 1} of the data set's "
                f"({some_of(list(raw.values())[1:])}) are left; change `drop` or `merge`"
            )
        if ignore_value is not None:
            indices[ignore_value] = IGNORE_INDEX
        return cls(tuple(names), tuple(sorted(indices.items())), tuple(values))

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, label: NDArray[Any], remedy: Callable[[Sequence[int]], str] | None = None) -> NDArray[np.uint8]:
        """Class indices of label values.

        Args:
            label: integers as on disk, any shape.
            remedy: what to do about values that no class stands for; None: where data are trained on.

        Returns:
            Array of the same shape: class indices, `IGNORE_INDEX` where the label is to be ignored.

        Raises:
            DataError: naming the values that no class stands for, and those allowed.
        """
        allowed = np.array([value for value, _ in self.indices])
        codes = np.array([index for _, index in self.indices], dtype=np.uint8)
        low, high = (int(label.min()), int(label.max())) if label.size else (0, 0)
        if high - low < 1 << 16:  # a table of all values between them spares a search for each voxel
            values, place = np.arange(low, high + 1), label if low == 0 else np.subtract(label, low, dtype=np.int64)
        else:
            values, place = np.unique(label, return_inverse=True)
        index = np.searchsorted(allowed, values).clip(max=len(allowed) - 1)
        known = allowed[index] == values
        if not known.all() and (unknown := ~known[place]).any():
            found = np.unique(label[unknown])
            raise DataError(
                f"label values {found[:8].tolist()} ({int(unknown.sum())} voxels) stand for no class, only "
                f"{_ranges(allowed.tolist())} are allowed; {(remedy or _remedy)(found.tolist())}"
            )
        if np.array_equal(codes[index], values):  # as on disk: nothing to look up
            return label.astype(np.uint8)
        encoded: NDArray[np.uint8] = codes[index][place]
        return encoded

    def check_names(self, told: Mapping[int, str], source: str = "its header") -> None:
        """Refuse what calls a label value by the name of another one's class.

        Args:
            told: name of each label value, as a file says it.
            source: what to call the file.

        Raises:
            DataError: naming what it says, and what is so.
        """
        values = dict(zip(self.names[1:], self.values[1:], strict=True))
        if wrong := {value: name for value, name in told.items() if values.get(name, value) != value}:
            raise DataError(
                f"{source} calls label values {wrong}, but {dict(zip(values.values(), values, strict=True))} are the "
                "classes; export it with one value for a structure, as the others"
            )

    def decode(self, preds: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Label values on disk of class indices; a merged class gets its first member's value.

        Args:
            preds: class indices in [0, K), any shape.
        """
        values: NDArray[np.int32] = np.array(self.values, dtype=np.int32)[preds]
        return values

    def mirror_table(self, pairs: Mapping[str, str]) -> tuple[int, ...]:
        """Where each class index goes when left and right are swapped.

        Args:
            pairs: names of the classes that swap, each pair given once (or both ways).

        Returns:
            K class indices; classes without a partner stay.

        Raises:
            ConfigError: if a name is unknown, its own partner or that of two.

        Example:
            >>> Classes.from_labels({1: "left", 2: "right", 3: "cord"}).mirror_table({"left": "right"})
            (0, 2, 1, 3)
        """
        table = list(range(len(self)))
        for one, other in pairs.items():
            if one == other:
                raise ConfigError(f"mirror_pairs: {one!r} is its own partner; name the class of the other side")
            for name in (one, other):
                if name not in self.names[1:]:
                    raise ConfigError(
                        f"mirror_pairs: {name!r} is no class{did_you_mean(name, self.names[1:])} name two of "
                        f"{list(self.names[1:])} or leave the pair out"
                    )
            a, b = self.names.index(one), self.names.index(other)
            if not {table[a], table[b]} <= {a, b}:
                raise ConfigError(
                    f"mirror_pairs: a class has one partner but {one!r} or {other!r} has two; keep one pair"
                )
            table[a], table[b] = b, a
        return tuple(table)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for checkpoints."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Classes":
        """Inverse of `to_json`.

        Raises:
            ValueError: what is there is none.
        """
        names, values = tuple(data["names"]), tuple(data["values"])
        indices = tuple((value, index) for value, index in data["indices"])
        whole = np.iinfo(np.int32)
        if (
            not isinstance(data["names"], list)
            or not len(names) == len(values) == len(set(names)) > 1
            or not all(type(value) is int and whole.min <= value <= whole.max for value in (*values, *dict(indices)))
            or not {index for _, index in indices} <= {*range(len(names)), IGNORE_INDEX}
        ):
            raise ValueError(f"classes are {data}")
        return cls(names, indices, values)


def _remedy(unknown: Sequence[int]) -> str:
    """What to do about values that stand for no class."""
    if len(unknown) > _MANY:
        return "give the label map in place of this file, which seems to be an image"
    if list(unknown) == [255]:
        return (
            "if it is a mask of 0 and 255, write the class's value in place of 255; if such voxels are not labelled, "
            "set data.ignore_label to 255"
        )
    if len(unknown) > 1 or unknown[0] > 0:
        return "name them in the data set's labels or correct the label"
    return (
        f"correct the label, or set data.ignore_label to {unknown[0]}, where such voxels shall be in no loss or metric"
    )


def _ranges(values: Sequence[int]) -> str:
    """Whole numbers in ascending order, those without a gap as a range.

    Example:
        >>> _ranges([0, 1, 2]), _ranges([0, 1, 2, 3, 4, 5, 9])
        ('[0, 1, 2]', '[0 to 5, 9]')
    """
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    parts = [[f"{run[0]} to {run[-1]}"] if len(run) > 4 else map(str, run) for run in runs]
    return f"[{', '.join(part for run in parts for part in run)}]"


def _check(
    raw: Mapping[int, str], ignore_value: int | None, drop: Sequence[str], merge: Mapping[str, Sequence[str]]
) -> None:
    """Refuse what `drop` and `merge` cannot mean."""
    names = list(raw.values())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"labels: every value needs a name of its own but {twice} occur twice; rename them, then merge")
    if below := {name: value for value, name in raw.items() if value < 0}:
        raise DataError(
            f"labels: {below} lie below 0, and no class does; call the value `ignore`, where its voxels are to be left "
            "out of losses and metrics (or set data.ignore_label to it), else give it a value above all others"
        )
    if max(raw) > np.iinfo(np.int32).max:
        raise DataError(
            f"labels: no file of predictions holds a value of {max(raw)}; write the label files anew with less"
        )
    if wrong := [value for value, name in raw.items() if value and name.lower() == "background"]:
        raise DataError(
            f"labels: the background is 0, but {wrong[0]} is called so; write the label files anew, with 0 where there "
            "is no structure"
        )
    if ignore_value == 0:
        raise ConfigError(
            "ignore_label: 0 is the background and cannot be ignored; give the value of unlabelled voxels"
        )
    if len(names) < 2:
        raise DataError(
            "labels: there is no class but the background; check that the label files are the right ones, or name the "
            "label values"
        )
    members = [name for group in merge.values() for name in group]
    for setting, used in (("drop", list(drop)), ("merge", members)):
        if unknown := [name for name in used if name not in names[1:]]:
            raise ConfigError(
                f"{setting}: {unknown} are no classes of this data set{did_you_mean(unknown, names[1:])} "
                f"choose from {names[1:]}"
            )
    used = [*drop, *members]
    if twice := sorted({name for name in used if used.count(name) > 1}):
        raise ConfigError(f"drop, merge: {twice} are named twice; a class is dropped, or merged once")
    if empty := [new for new, group in merge.items() if not group]:
        raise ConfigError(f"merge: {empty} have no members; name classes from {names[1:]} or leave them out")
    kept = [name for name in names if name not in used]
    if clash := [new for new in merge if new in kept]:
        raise ConfigError(f"merge: {clash} are classes already; add them to their members or choose new names")
