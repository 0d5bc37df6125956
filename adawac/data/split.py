"""Which cases train, which validate and which test: a split, in which no patient lies in two parts."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adawac.data.patients import SuggestedPatients
from adawac.errors import DataError, some_of, together
from adawac.io.atomic import write_text

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Case ids of the three parts, each in the order of the data.

    Attributes:
        train: cases that are trained on.
        val: cases that choose the checkpoint; may be empty.
        test: cases that are only looked at once; may be empty.
        notes: what is to be said of where it comes from.

    Example:
        >>> split = Split(train=("a", "b"), val=("c",), test=())
        >>> split.check({"a": "p1", "b": "p1", "c": "p2"})
        >>> split.check({"a": "p1", "b": "p2", "c": "p2"})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        adawac.errors.DataError: patient p2 lies in more than one part (train: b; val: c); ...
    """

    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def check(self, patients: Mapping[str, str]) -> None:
        """Refuse a split that leaks a patient from one part into another, or trains on nothing.

        Args:
            patients: the patient of every case.

        Raises:
            DataError: naming each such patient, its cases and the parts they lie in.
        """
        known, remedy = "", "correct patient_pattern if they are different patients"
        if isinstance(patients, SuggestedPatients):
            known, remedy = ", by the names of its cases,", patients.remedy
        named = [case for part in PARTS for case in getattr(self, part)]
        if unknown := [case for case in named if case not in patients]:
            raise DataError(f"the split names {some_of(unknown)}, which is no case of the data; take it out")
        where = together((patients[case], (part, case)) for part in PARTS for case in getattr(self, part))
        of_parts = Counter((part, case) for part in PARTS for case in getattr(self, part))
        problems = [
            f"{part} names {case} {often} times; once is due" for (part, case), often in of_parts.items() if often > 1
        ]
        for patient, pairs in where.items():
            if len(parts := together(pairs)) > 1:
                places = "; ".join(f"{part}: {some_of(ids)}" for part, ids in parts.items())
                problems.append(
                    f"patient {patient}{known} lies in more than one part ({places}); move all its cases "
                    f"into one part, or {remedy}"
                )
        if not self.train:
            problems.append("the split has no training case; put at least one case into train")
        if problems:
            raise DataError.from_problems(problems)

    def only(self, cases: Collection[str]) -> "Split":
        """The split of these cases alone.

        Example:
            >>> Split(train=("a", "b"), val=("c",)).only({"b", "c"})
            Split(train=('b',), val=('c',), test=())
        """
        return Split(**{part: tuple(id_ for id_ in getattr(self, part) if id_ in cases) for part in PARTS})

    def to_json(self) -> str:
        """Text of a file that `FileSplit` reads back."""
        return json.dumps({part: getattr(self, part) for part in PARTS}, indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Write `to_json` to a file, beside the run."""
        write_text(path, self.to_json())
