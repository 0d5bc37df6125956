"""The command in processes of its own, to be run to the end, killed, or left without disk space."""

import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

from adawac.cli import main as main_of_adawac


class Ended(NamedTuple):
    """Exit status of a process, and what it wrote."""

    status: int
    said: str


def begin(arguments: Sequence[str], log: IO[bytes], limit: int | None = None) -> int:
    """Start the command in a process of its own and return its id.

    The process is forked off this one, which has imported everything and done nothing: a start takes no seconds.

    Args:
        arguments: command and options.
        log: takes what it writes.
        limit: bytes that a file may have, as on a disk that is full.
    """
    if process := os.fork():
        return process
    os.setsid()
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    status = 1
    try:
        status = main_of_adawac(list(arguments))
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(process: int, log: IO[bytes]) -> Ended:
    """Wait for a process; its log is without the colours and line breaks of a terminal."""
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    log.seek(0)
    return Ended(status, log.read().decode(errors="replace"))


def adawac(*arguments: str, limit: int | None = None) -> Ended:
    """Run the command to its end, arguments as for `begin`."""
    with tempfile.TemporaryFile() as log:
        return ended(begin(arguments, log, limit), log)


def killed(arguments: Sequence[str], after: float, signum: int = signal.SIGKILL, group: bool = False) -> int | None:
    """Run the command and send a signal after some seconds.

    Returns:
        Its exit status; None if it had ended by itself, well.

    Raises:
        RuntimeError: it had failed by itself.
    """
    with tempfile.TemporaryFile() as log:
        process, until = begin(arguments, log), time.monotonic() + after
        while time.monotonic() < until:
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                if (done := ended(process, log)).status != 0:
                    raise RuntimeError(f"{' '.join(arguments)} failed by itself: {done.said}")
                return None
            time.sleep(0.01)
        (os.killpg if group else os.kill)(process, signum)
        return ended(process, log).status


class Moments:
    """Signals at random moments of runs, and sooner after a run that had ended before its signal came.

    Args:
        seconds: that a run took when it was last left alone; other work on the machine makes them longer or shorter.
        rng: draws the moments.
    """

    def __init__(self, seconds: float, rng: random.Random) -> None:
        self.seconds = seconds
        self.rng = rng

    def interrupt(self, arguments: Sequence[str], first: float, last: float, **how: Any) -> int | None:
        """As `killed`, after a share of the seconds between `first` and `last`."""
        status = killed(arguments, self.seconds * self.rng.uniform(first, last), **how)
        if status is None:
            self.seconds *= 0.8
        return status
