"""What a cell may use, and how a machine is shared out among cells that run at the same time."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from adawac.errors import ConfigError, did_you_mean

_MEMORY, _TIME = re.compile(r"\d+[KMGT]"), re.compile(r"(\d+-)?\d{1,3}(:\d\d){1,2}")


@dataclass(frozen=True)
class Resources:
    """Of one cell; None leaves it to whoever runs the cells.

    Attributes:
        gpus: whole GPUs, or a share of one such as 0.5, which two cells then have in common.
        cpus: cores.
        memory: main memory, such as 32G.
        time: after which a job of a cluster ends, HOURS:MINUTES:SECONDS; it is then put into the queue again.
    """

    gpus: float | None = None
    cpus: int | None = None
    memory: str | None = None
    time: str | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any], place: str) -> "Resources":
        """From the key `resources` of a study.

        Raises:
            ConfigError: naming `place`, where a key or a value is none.

        Example:
            >>> Resources.read({"gpus": 1, "cpus": 8, "memory": "32G"}, "mine.yaml: resources")
            Resources(gpus=1, cpus=8, memory='32G', time=None)
        """
        known = [field.name for field in fields(cls)]
        if unknown := [str(key) for key in content if key not in known]:
            raise ConfigError(
                f"{place}: there is no {', '.join(unknown)}{did_you_mean(unknown, known)} give {', '.join(known)}"
            )
        made = cls(**content)
        check_gpus(made.gpus, f"{place}.gpus")
        if made.cpus is not None and (type(made.cpus) is not int or made.cpus < 1):
            raise ConfigError(f"{place}.cpus is {made.cpus!r}; give a number of cores, 1 or more")
        for key, pattern, such in (("memory", _MEMORY, "32G"), ("time", _TIME, '"8:00:00", in quotes')):
            value = getattr(made, key)
            if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
                raise ConfigError(f"{place}.{key} is {value!r}; write it as {such}")
        return made

    @property
    def bytes_of_memory(self) -> int | None:
        """The same as a number.

        Example:
            >>> Resources(memory="32G").bytes_of_memory
            34359738368
        """
        return None if self.memory is None else int(self.memory[:-1]) << 10 * (1 + "KMGT".index(self.memory[-1]))


def check_gpus(gpus: Any, place: str) -> None:
    """A number of GPUs for a cell: whole ones, or a share of one.

    Raises:
        ConfigError: it is something else.
    """
    number = isinstance(gpus, (int, float)) and not isinstance(gpus, bool)
    if gpus is not None and not (number and gpus >= 0 and (gpus < 1 or gpus == int(gpus))):
        raise ConfigError(f"{place} is {gpus!r}; give whole GPUs such as 1, a share of one such as 0.5, or 0 for none")


def visible_gpus() -> tuple[str, ...]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = map(str, range(count)) if named is None else filter(None, map(str.strip, named.split(",")))
    return tuple(names)[:count]


def visible_cpus() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shares(jobs: int | None, cells: int, of_each: Resources, gpus: Sequence[str], cpus: int) -> list[Mapping[str, str]]:
    """What each of the cells that run at the same time gets of a machine, as variables of its environment.

    Without GPUs nothing is said of them. A number of threads that the user has set is left as it is.

    Args:
        jobs: cells at the same time; None for as many as the machine has GPUs for, or cores where it has none.
        cells: to be run; no more have a share.
        of_each: what a cell is to have; one GPU where nothing is said of them.
        gpus: of the machine, see `visible_gpus`.
        cpus: cores of the machine.

    Returns:
        A share for each cell that may run at the same time.

    Raises:
        ConfigError: there are not as many GPUs.

    Example:
        >>> shares(None, 9, Resources(), ["0", "1"], 16)[1]
        {'CUDA_VISIBLE_DEVICES': '1', 'OMP_NUM_THREADS': '8'}
    """
    wanted = 1 if of_each.gpus is None else of_each.gpus
    sets: list[str] | None = None
    if gpus and wanted:  # whole ones, or a single one several times
        whole = max(1, int(wanted))
        parts = [",".join(gpus[first : first + whole]) for first in range(0, len(gpus) - whole + 1, whole)]
        sets = parts * max(1, int(1 / wanted))
    most = max(1, cpus // (of_each.cpus or 1)) if sets is None else len(sets)
    jobs = max(1, min(jobs or most, cells))
    if sets is not None and jobs > most:
        raise ConfigError(
            f"--jobs: {jobs} at the same time with {wanted:g} GPU{'' if wanted == 1 else 's'} each need more than the "
            f"{len(gpus)} that there {'is' if len(gpus) == 1 else 'are'}; lower --jobs, or let cells share one with "
            "--gpus-per-cell 0.5"
        )
    threads = {"OMP_NUM_THREADS": str(of_each.cpus or max(1, cpus // jobs))}
    if not gpus:
        return [threads] * jobs
    return [{"CUDA_VISIBLE_DEVICES": "" if sets is None else sets[job], **threads} for job in range(jobs)]
