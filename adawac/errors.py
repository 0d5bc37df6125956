"""What adawac raises when the user, not the code, can mend it.

Every message names the thing, the rule, the value and the remedy; the command line prints it without a traceback.
"""

from collections.abc import Sequence


class AdaWACError(Exception):
    """Base class of the errors that a user can mend."""


class ConfigError(AdaWACError):
    """A setting is wrong, or settings contradict each other."""


class DataError(AdaWACError):
    """A file, a case or a data set breaks a rule.

    Example:
        >>> raise DataError("case pt_17: label has shape (2, 2, 2) but image has (2, 2, 3); re-export the label")
        Traceback (most recent call last):
        adawac.errors.DataError: case pt_17: label has shape (2, 2, 2) but image has (2, 2, 3); re-export the label
    """

    @classmethod
    def from_problems(cls, problems: Sequence[str]) -> "DataError":
        """Join all problems of a data set into one error, a line each.

        Example:
            >>> print(DataError.from_problems(["case a: unreadable", "case b: unreadable"]))
            2 problems:
              case a: unreadable
              case b: unreadable
        """
        if len(problems) == 1:
            return cls(problems[0])
        return cls("\n  ".join([f"{len(problems)} problems:", *problems]))


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first names of a list, and how many more there are: for messages.

    Example:
        >>> some_of(["a", "b", "c"]), some_of(["a", "b", "c"], most=2)
        ('a, b, c', 'a, b and 1 more')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
