"""Many problems told as few: those that break one rule together, with the first three and the remedy once."""

import re
from collections.abc import Sequence
from typing import NamedTuple

SHOWN = 3
"""Problems of one rule that are told in full."""

_SUBJECT = re.compile(r"(case|class) (.+?): (.*)", re.DOTALL)
_VARYING = re.compile(r"\S*/\S+|\([^()]*\)|\[[^\[\]]*\]|'[^']*'|[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


class Problem(NamedTuple):
    """What is wrong, in parts.

    Attributes:
        kind: "case" or "class"; empty where the problem is of neither.
        name: of the case or class.
        what: breaks which rule, and by which value.
        remedy: what to do.

    Example:
        >>> Problem.of("case pt_1: every voxel is 0; export the image again")
        Problem(kind='case', name='pt_1', what='every voxel is 0', remedy='export the image again')
    """

    kind: str
    name: str
    what: str
    remedy: str

    @classmethod
    def of(cls, line: str) -> "Problem":
        """Parts of a line."""
        match = _SUBJECT.fullmatch(line)
        kind, name, rest = match.groups() if match else ("", "", line)
        what, _, remedy = rest.rpartition("; ")
        return cls(kind, name, what or rest, remedy if what else "")

    @property
    def rule(self) -> str:
        """The same for all that break one rule: without the case's name, its files and its numbers."""
        text = f"{self.kind}: {self.what}; {self.remedy}"
        return _VARYING.sub("#", text.replace(self.name, "#") if self.name else text)


def grouped(lines: Sequence[str]) -> list[str]:
    """Lines of problems, those of one rule together where they are more than `SHOWN`.

    Example:
        >>> for line in grouped([f"case pt_{n}: every voxel is {n}; export the image again" for n in range(262)]):
        ...     print(line)
        262 cases alike; export the image again:
          case pt_0: every voxel is 0
          case pt_1: every voxel is 1
          case pt_2: every voxel is 2
          and 259 more
    """
    rules: dict[str, list[tuple[Problem, str]]] = {}
    for line in lines:
        problem = Problem.of(line)
        rules.setdefault(problem.rule, []).append((problem, line))
    told: list[str] = []
    for problems in rules.values():
        if len(problems) <= SHOWN:
            told += [line for _, line in problems]
            continue
        first = problems[0][0]
        kind = {"case": "cases", "class": "classes"}.get(first.kind, "problems")
        number = len({each.name for each, _ in problems}) if first.kind else len(problems)
        told.append(f"{number} {kind} alike{first.remedy and '; '}{first.remedy}:")
        for each, _ in problems[:SHOWN]:
            told.append(f"  {each.kind} {each.name}: {each.what}" if each.kind else f"  {each.what}")
        told.append(f"  and {len(problems) - SHOWN} more")
    return told
