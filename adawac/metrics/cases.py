"""What the metrics of volumes share: results are gathered by case, so that each case counts once, whoever saw it."""

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from adawac.errors import ConfigError, DataError
from adawac.metrics.empty import EmptyPolicy, empty_rule
from adawac.metrics.means import class_means, counting_pairs, mean_of_classes
from adawac.metrics.overlap import AnyArray, check_num_classes, label_array
from adawac.types import IGNORE_INDEX

Reduction = Literal["mean", "classes", "cases"]
"""`mean`: one number; `classes`: one a class, NaN where it does not count; `cases`: those of each case, by its id."""

Names = str | int | Sequence[str | int] | Tensor
"""Name or number of one thing, or a sequence of them, one a sample of a batch."""


class Record(NamedTuple):
    """What was found of a case, or of a piece of it.

    Attributes:
        case: its id.
        patient: whom it shows.
        group: which group it is in; "" without groups.
        piece: which piece of the case this is, so that it counts once; None for one that is added to the others.
        process: rank of the process that found it.
        target: numbers that the target alone determines: they tell the same piece from another.
        values: numbers that the prediction has a share in.
    """

    case: str
    patient: str
    group: str
    piece: int | None
    process: int
    target: list[float]
    values: list[float]

    def plus(self, other: "Record") -> "Record":
        """Both pieces together."""
        target, values = (
            [a + b for a, b in zip(mine, theirs, strict=True)]
            for mine, theirs in ((self.target, other.target), (self.values, other.values))
        )
        return self._replace(target=target, values=values)


class RecordMetric(Metric):
    """A metric whose state is a list of records, which all processes have after a `sync`.

    A record is a line of JSON, and the state their bytes: names travel with their numbers, floats lose no digit on any
    device, and processes with many records, few or none go together.
    """

    full_state_update = False
    is_differentiable = False
    records: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("records", default=[], dist_reduce_fx="cat")

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Bring the records of all processes together; one that has none takes part with no bytes."""
        if len(self.records) == 0:
            self.records = [self._bytes("")]
        super().sync(*args, **kwargs)

    def _add(self, records: Iterable[Sequence[Any]]) -> None:
        """Take records into the state."""
        self.records.append(self._bytes("".join(json.dumps(record) + "\n" for record in records)))

    def _read(self) -> list[list[Any]]:
        """All records, in the order of the processes."""
        if len(self.records) == 0:
            return []
        text = dim_zero_cat(self.records).cpu().to(torch.uint8).numpy().tobytes().decode("ascii")
        return [json.loads(line) for line in text.splitlines()]

    def _cases(self) -> list[Record]:
        """One record of each case and group, of all its pieces, each of them once."""
        found: dict[tuple[str, str], dict[tuple[str, int], Record]] = {}
        for line in self._read():
            record = Record(*line)
            pieces = found.setdefault((record.case, record.group), {})
            key = ("process", record.process) if record.piece is None else ("piece", record.piece)
            if key not in pieces:
                pieces[key] = record
            elif record.piece is None:
                pieces[key] = pieces[key].plus(record)
            else:
                _check_same(pieces[key], record)
        return [_whole(list(found[key].values())) for key in sorted(found)]

    def _bytes(self, text: str) -> Tensor:
        return torch.tensor(list(text.encode("ascii")), dtype=torch.uint8, device=self.device)

    def _scalar(self, value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float32, device=self.device)


class CaseMetric(RecordMetric):
    """Base class: a value of each class of each case, and the mean that `adawac.evaluation` forms of them.

    The mean of a class is over its patients, that of a patient over its cases; the mean is that of the classes. What
    has no value is left out, and so is a class that no target holds.

    Args:
        num_classes: K, background included.
        classes: indices of those that are measured; None for all but background.
        policy: what empty masks are worth, see `EmptyRule`.
        ignore_index: value of the target that is left out; None for none.
        reduction: see `Reduction`.
        **kwargs: of `torchmetrics.Metric`.

    Raises:
        ConfigError: if an argument is none of those.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        classes: Sequence[int] | None = None,
        policy: EmptyPolicy = "penalise",
        ignore_index: int | None = IGNORE_INDEX,
        reduction: Reduction = "mean",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.classes = chosen_classes(num_classes, classes)
        empty_rule(policy)
        self.policy: EmptyPolicy = policy
        self.ignore_index = ignore_index
        if reduction not in ("mean", "classes", "cases"):
            raise ConfigError(f"reduction {reduction!r} is unknown; choose 'mean', 'classes' or 'cases'")
        self.reduction: Reduction = reduction

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The values by `reduction`, float32: (), (number of classes,), or such a row of each case.

        torchmetrics hands on a row of a single class as ().

        Raises:
            DataError: if the same piece of a case was given twice with another target.
        """
        cases = self._cases()
        if self.reduction == "cases":
            return {case.case: self._tensor(self._values(case)) for case in cases}
        return self._mean(cases, self._lost(cases))

    @abstractmethod
    def _values(self, record: Record) -> NDArray[np.float64]:
        """(number of classes,) values of a case."""

    @abstractmethod
    def _held(self, record: Record) -> NDArray[np.bool_]:
        """(number of classes,) whether the target of a case holds them."""

    def _mean(self, cases: Sequence[Record], lost: NDArray[np.bool_]) -> Tensor:
        values = np.array([self._values(case) for case in cases]).reshape(-1, len(self.classes))
        patients = np.array([case.patient for case in cases], dtype=np.str_)
        means = class_means(values, counting_pairs([values[:, None]], lost), patients)
        return self._tensor(means) if self.reduction == "classes" else self._scalar(mean_of_classes(means))

    def _lost(self, cases: Sequence[Record]) -> NDArray[np.bool_]:
        """(number of classes,) those that no target holds: there is nothing to find."""
        held = np.array([self._held(case) for case in cases], dtype=bool).reshape(-1, len(self.classes))
        return np.asarray(~held.any(axis=0))

    def _tensor(self, values: NDArray[np.float64]) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32).to(self.device)


def _whole(pieces: Sequence[Record]) -> Record:
    """A case of its pieces, each of which is there once."""
    whole = pieces[0]
    for piece in pieces[1:]:
        if whole.piece is not None and piece.piece is not None:
            whole = whole.plus(piece)
        else:  # two processes have the case, which a sampler gave to both to make their shares equal
            _check_same(whole, piece)
    return whole


def _check_same(one: Record, other: Record) -> None:
    different = next((pair for pair in zip(one.target, other.target, strict=True) if pair[0] != pair[1]), None)
    if different:
        raise DataError(
            f"case {one.case}: given twice, and a class holds {different[0]} voxels of one target, {different[1]} of "
            "the other; give each volume an id of its own, and where it comes in pieces say which they are (slices=...)"
        )


class Sample(NamedTuple):
    """A volume, or a piece of one.

    Attributes:
        case: id of the volume.
        patient: whom it shows.
        group: of the sample; "" without groups.
        piece: as in `Record`.
        preds: integers, with the slices along the first axis.
        target: integers of the same shape.
    """

    case: str
    patient: str
    group: str
    piece: int | None
    preds: NDArray[np.generic]
    target: NDArray[np.generic]

    def record(self, target: ArrayLike, values: ArrayLike) -> Record:
        """What was found of it, by this process."""
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        numbers = (np.asarray(part).ravel().tolist() for part in (target, values))
        return Record(self.case, self.patient, self.group, self.piece, rank, *numbers)


def samples(
    preds: AnyArray,
    target: AnyArray,
    case: Names,
    patient: Names | None = None,
    group: Names | None = None,
    slices: Sequence[int] | Tensor | None = None,
) -> Iterator[Sample]:
    """Take a volume, or a batch of volumes or slices, apart.

    Args:
        preds: (Z, Y, X) class indices of one case, or (B, Z, Y, X) or (B, Y, X) of B of them.
        target: class indices of the same shape.
        case: id of the case; or B of them, one a sample.
        patient: whom each case shows; None for one that no other case shows.
        group: of each sample; None without groups.
        slices: position of each slice in its case: of a case (Z,), of a batch (B,).

    Raises:
        DataError: if these do not fit together, or a volume is not of integers.

    Example:
        >>> [sample.case for sample in samples(np.zeros((2, 4, 4), int), np.zeros((2, 4, 4), int), ["a", "b"])]
        ['a', 'b']
    """
    ours, theirs = label_array(preds, "preds"), label_array(target, "target")
    if ours.shape != theirs.shape:
        raise DataError(
            f"preds have shape {ours.shape} but target has {theirs.shape}; predict on the grid of the label, and take "
            "the argmax of logits"
        )
    one = is_one(case)
    if theirs.ndim < (3 if one else 2):
        raise DataError(
            f"target of one case has shape {theirs.shape}; give (slices, H, W), or an id for each of a batch"
        )
    count = len(theirs)
    if one and slices is None:
        ours, theirs, count = ours[None], theirs[None], 1
    cases = _names(case, count, "case")
    patients = cases if patient is None else _names(patient, count, "patient")
    groups = [""] * count if group is None else _names(group, count, "group")
    pieces = [None] * count if slices is None else [int(number) for number in _names(slices, count, "slices")]
    for number in range(count):
        pair = [array[number] if array[number].ndim > 2 else array[number][None] for array in (ours, theirs)]
        yield Sample(cases[number], patients[number], groups[number], pieces[number], *pair)


def is_one(case: Names) -> bool:
    """Whether an id is given, not a sequence of them.

    Example:
        >>> is_one("ct_7"), is_one(7), is_one(["ct_7"])
        (True, True, False)
    """
    return isinstance(case, str | int) or (isinstance(case, Tensor | np.generic) and case.ndim == 0)


def _names(given: Names | Sequence[int], count: int, what: str) -> list[str]:
    """One name a sample, as text."""
    listed = given.tolist() if isinstance(given, Tensor | np.ndarray | np.generic) else given
    if isinstance(listed, str | int):
        return [str(listed)] * count
    if len(listed) != count:
        raise DataError(f"{what}: {len(listed)} given for {count} samples; give one for each sample of the batch")
    return [str(name) for name in listed]


def chosen_classes(num_classes: int, classes: Sequence[int] | None) -> list[int]:
    """Indices of the classes that are measured: all but background unless they are given.

    Raises:
        ConfigError: if there is but background, or one that is named is not among them.

    Example:
        >>> chosen_classes(4, None), chosen_classes(4, [0, 3])
        ([1, 2, 3], [0, 3])
    """
    if check_num_classes(num_classes) < 2:
        raise ConfigError(f"num_classes is {num_classes}; count the background, too: 2 where there is a single class")
    if isinstance(classes, int | str):
        raise ConfigError(f"classes is {classes!r}; give a list of class indices, such as [1]")
    chosen = list(range(1, num_classes)) if classes is None else [int(index) for index in classes]
    if len(set(chosen)) < len(chosen) or not all(0 <= index < num_classes for index in chosen):
        raise ConfigError(
            f"classes {chosen} of {num_classes}; name each once, from 0 (background) to {num_classes - 1}"
        )
    return chosen
