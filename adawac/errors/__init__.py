"""What adawac raises when the user can correct it, and the code cannot.

Every message names the thing, the rule, the value and the remedy; the command line prints it without a traceback.
"""

import os
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from signal import Signals
from typing import TypeVar
from unicodedata import category, normalize

from adawac.errors.problems import grouped

Kind = TypeVar("Kind")
Thing = TypeVar("Thing")

_SIGNS = "=+-@$%"


class AdaWACError(Exception):
    """Base class of the errors that a user can correct."""


class ConfigError(AdaWACError):
    """A setting is wrong, or settings contradict each other."""


class TrainingError(AdaWACError):
    """A training cannot go on: what it computes is no longer finite, or cannot be saved."""


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP came, and what had to be saved has been.

    Not an `Exception`, so that nothing on the way mistakes it for a failure.

    Args:
        signum: the signal.
        saved: what has been saved and how to go on, for the user.

    Example:
        >>> Interrupted(15, "nothing had to be saved").exit_code
        143
    """

    def __init__(self, signum: int, saved: str) -> None:
        super().__init__(f"stopped by {Signals(signum).name}; {saved}")
        self.exit_code = 128 + signum


class DataError(AdaWACError):
    """A file, a case or a data set breaks a rule.

    Example:
        >>> raise DataError("case pt_17: label has shape (2, 2, 2) but image has (2, 2, 3); re-export the label")
        Traceback (most recent call last):
        adawac.errors.DataError: case pt_17: label has shape (2, 2, 2) but image has (2, 2, 3); re-export the label
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)

    @classmethod
    def from_problems(cls, problems: Sequence[str]) -> "DataError":
        """Join all problems of a data set into one error, those of one rule together; `problems` holds every line.

        Example:
            >>> print(DataError.from_problems(["case a: unreadable", "case b: unreadable"]))
            2 problems:
              case a: unreadable
              case b: unreadable
        """
        if len(problems) == 1:
            return cls(problems[0])
        return cls("\n  ".join([f"{len(problems)} problems:", *grouped(problems)]), problems)


def printable(text: str) -> str:
    r"""Text without what would steer a terminal: names of files and cases are other people's.

    Example:
        >>> print(printable(f"case {chr(27)}[2Jpt_1: cut short"))
        case \x1b[2Jpt_1: cut short
        >>> printable("5\N{NO-BREAK SPACE}864") == "5\N{NO-BREAK SPACE}864"
        True
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" or category(c) == "Zs" else c.encode("unicode_escape").decode()
        for c in text
    )


def name_problems(kind: str, names: Iterable[object]) -> list[str]:
    """What is wrong with names that others gave: the one rule, applied where names enter.

    They are shown, written into tables that spreadsheets open and into configurations of MONAI, where `$` begins code.

    Args:
        kind: what is named, such as "class".
        names: of them.

    Example:
        >>> name_problems("class", ["liver", "kidney (left)", "=1+1"])
        ["class '=1+1': a name holds printable characters and begins with none of = + - @ $ %; rename it"]
        >>> name_problems("class", [True])
        ['class True: a name is text; write it in quotes, where YAML reads a number, yes or no']
    """
    return [
        f"{kind} {name!r}: a name holds printable characters and begins with none of {' '.join(_SIGNS)}; rename it"
        if isinstance(name, str)
        else f"{kind} {name!r}: a name is text; write it in quotes, where YAML reads a number, yes or no"
        for name in names
        if not isinstance(name, str)
        or normalize("NFKC", name).strip()[:1] in ("", *_SIGNS)
        or not all(c.isprintable() or category(c) == "Zs" for c in name)
    ]


def one_line(error: BaseException) -> str:
    r"""What another library's error says, on one line; its kind where it says nothing.

    Example:
        >>> one_line(ValueError("no such\n  file")), one_line(EOFError())
        ('no such file', 'EOFError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def raised_in(error: BaseException) -> Path:
    """The file whose code raised an error."""
    return Path(traceback.extract_tb(error.__traceback__)[-1].filename)


def first_line(error: BaseException) -> str:
    r"""The same of an error that goes on to explain itself.

    Example:
        >>> first_line(RuntimeError("not plain tensors\nTo load it all the same, ..."))
        'not plain tensors'
    """
    return str(error).strip().partition("\n")[0] or type(error).__name__


def of_case(case: str, error: "DataError") -> str:
    """What an error says of a case, with the case's name before it.

    Example:
        >>> of_case("pt_1", DataError("cut short")), of_case("pt_1", DataError("case pt_1: cut short"))
        ('case pt_1: cut short', 'case pt_1: cut short')
    """
    return str(error) if str(error).startswith("case ") else f"case {case}: {error}"


@contextmanager
def in_case(case: str) -> Iterator[None]:
    """Within, what is wrong with data is said to be so of a case.

    Example:
        >>> with in_case("pt_4"):
        ...     raise DataError("its label is empty; draw it")
        Traceback (most recent call last):
        adawac.errors.DataError: case pt_4: its label is empty; draw it
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"case {case}: {error}") from None


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Within, a file that the user may not read is told from one that is damaged.

    Raises:
        DataError: naming the file, or the closed folder that it lies in.
    """
    try:
        yield
    except PermissionError as error:
        raise DataError(
            f"{closed_place(path) or path}: {error.strerror}; let it be read by the user that you are"
        ) from error


def check_readable(path: Path) -> None:
    """The same before a library reads it that tells all that goes wrong alike; a file that is not there passes."""
    with readable(path):
        if path.is_file():
            path.open("rb").close()


def closed_place(path: str | Path) -> Path | None:
    """What keeps the user from reading: the outermost folder that they may not enter, or the file; None: nothing.

    It is tried, as modes do not tell what a user may.
    """
    *folders, last = (*reversed(Path(path).absolute().parents), Path(path))
    for folder in folders:
        try:
            os.stat(os.path.join(folder, os.curdir))  # which asks the folder itself
        except PermissionError:
            return folder
        except OSError:
            return None
    try:
        os.listdir(last) if last.is_dir() else last.open("rb").close()
    except PermissionError:
        return last
    except OSError:
        return None
    return None


def some_of(names: Sequence[str]) -> str:
    """The first five names of a list, and how many more there are: for messages.

    Example:
        >>> some_of("abc"), some_of("abcdefg")
        ('a, b, c', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def together(pairs: Iterable[tuple[Kind, Thing]]) -> dict[Kind, list[Thing]]:
    """What is of one kind, of pairs of a kind and a thing, both in their order.

    Example:
        >>> together([("odd", 1), ("even", 2), ("odd", 3)])
        {'odd': [1, 3], 'even': [2]}
    """
    found: dict[Kind, list[Thing]] = {}
    for kind, thing in pairs:
        found.setdefault(kind, []).append(thing)
    return found


def counted(count: int, what: str) -> str:
    """A number of things, in words.

    Example:
        >>> counted(1, "seed"), counted(12, "patient")
        ('1 seed', '12 patients')
    """
    return f"{count} {what if count == 1 else what + 's'}"


def rounded(value: float, digits: int = 3) -> str:
    """A number with so many decimals, and with more, up to six, where it would be taken for a 0 or a 1 that it is not.

    Example:
        >>> rounded(0.9126), rounded(0.9996), rounded(0.0004), rounded(1), rounded(1.0004), rounded(1 - 1e-9)
        ('0.913', '0.9996', '0.0004', '1.000', '1.000', '1.000')
    """
    written = [f"{value:.{more}f}" for more in range(digits, max(7, digits + 1))]
    near = 0 < value < 1 and float(written[0]) in (0, 1)
    return next((each for each in written if float(each) not in (0, 1)), written[0]) if near else written[0]


def beside(value: float, limit: float, digits: int = 3) -> str:
    """A number with so many decimals, and with more, up to seven, where it would lie on the limit's other side.

    Example:
        >>> beside(0.0123, 0.05), beside(0.0498, 0.05), beside(0.2999, 0.3), beside(0.3, 0.3)
        ('0.012', '0.0498', '0.2999', '0.300')
    """
    sides = value < limit, value > limit
    places = range(digits, 7)
    return f"{value:.{next((n for n in places if (round(value, n) < limit, round(value, n) > limit) == sides), 7)}f}"


def percent(share: float, digits: int = 0) -> str:
    """A share as a number of per cent, which is 0 or 100 only where it is none or all.

    Example:
        >>> percent(0.754), percent(0.0004), percent(0.9996), percent(1), percent(0.0004, digits=1)
        ('75', 'below 1', 'above 99', '100', 'below 0.1')
    """
    written, least = f"{100 * share:.{digits}f}", 10.0**-digits
    if share > 0 and float(written) == 0:
        return f"below {least:g}"
    return f"above {100 - least:g}" if share < 1 and float(written) == 100 else written


def did_you_mean(wrong: str | Sequence[str], known: Iterable[str]) -> str:
    """What was meant by names that are not known, to be put between what is wrong and the remedy.

    Args:
        wrong: one name, or several.
        known: what there is.

    Returns:
        "; did you mean NAME?", or ";" alone where no known name is near.

    Example:
        >>> for name in ("livre", "kidney"):
        ...     print(f"no organ {name}" + did_you_mean(name, ["spleen", "Liver"]) + " choose one that there is")
        no organ livre; did you mean Liver? choose one that there is
        no organ kidney; choose one that there is
    """
    known = tuple(known)
    near = [nearest(name, known) for name in ([wrong] if isinstance(wrong, str) else wrong)]
    return f"; did you mean {', '.join(dict.fromkeys(filter(None, near)))}?" if any(near) else ";"


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a wrong one, or goes on as it begins, capitals aside; None where none is."""
    lowered = {name.lower(): name for name in known}
    near = get_close_matches(wrong.lower(), lowered, n=1)
    if not near and len(wrong) > 2:
        near = [name for name in lowered if name.startswith(wrong.lower())]
    return lowered[near[0]] if near else None


def did_you_mean_file(path: Path) -> str:
    """The same of a file or folder by what lies where it should be; nothing is meant but itself where it is there."""
    if path.exists():
        return ";"
    if re.search(r"[\[\]{}]|\?(?!\*)", str(path)):
        return " (in a pattern `*` alone stands for others; [ ] { } and ? are taken as they are);"
    try:
        return did_you_mean(path.name, [other.name for other in path.parent.iterdir()])
    except OSError:
        return ";"
