"""The same work for every item: in threads of this machine, or as tasks on a Ray cluster that begin again elsewhere."""

import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from adawac.errors import ConfigError, DataError, one_line

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcomes = Generator[tuple[Item, Future[Result]], None, None]
"""Items, each with what became of it, as they end; `result()` gives what was returned, or raises what was raised."""

TIMES = 3
"""How often a task begins again whose worker or node was lost, and a connection whose process there was."""

AT_ONCE = 1000
"""Tasks that a cluster is given at the same time: more would only wait there."""

POLL_SECONDS = 0.2

HELP = "a Ray cluster: ray (the one that runs here or that RAY_ADDRESS names, else this machine) or ray://HOST:10001"
"""What `--on` takes."""


class Each(Protocol):
    """Does something with every item; gives each item with its outcome, as they end."""

    def __call__(self, do: Callable[[Item], Result], items: Sequence[Item], /) -> Outcomes[Item, Result]:
        """Items in any order; `result()` of a future gives what `do` returned, or raises what it raised."""


def in_threads(do: Callable[[Item], Result], items: Sequence[Item]) -> Outcomes[Item, Result]:
    """A thread a core, items in their order; once it is closed no further item is begun.

    Example:
        >>> [(item, future.result()) for item, future in in_threads(abs, [-1, 2])]
        [(-1, 1), (2, 2)]
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        try:
            for item, future in [(item, pool.submit(do, item)) for item in items]:
                future.exception()
                yield item, future
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def one_by_one(do: Callable[[Item], Result], items: Sequence[Item]) -> Outcomes[Item, Result]:
    """Here, as they come.

    Example:
        >>> [(item, future.result()) for item, future in one_by_one(abs, [-1, 2])]
        [(-1, 1), (2, 2)]
    """
    for item in items:
        yield item, outcome_of(lambda: do(item))  # noqa: B023  # called at once


def outcome_of(call: Callable[[], Result]) -> "Future[Result]":
    """What a call returns or raises."""
    future: Future[Result] = Future()
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)
    return future


class Cluster:
    """A Ray cluster that this process is connected to.

    What is done with an item runs in a process of the cluster, in this process's working folder, which all nodes must
    share with the data; so must Python and what is installed. Its results are the same as here.

    Args:
        ray: the module.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    @property
    def has_gpus(self) -> bool:
        """Whether any node has one."""
        return bool(self._ray.cluster_resources().get("GPU"))

    def each(self, *, cpus: float = 1, gpus: float = 0, memory: int | None = None) -> Each:
        """Tasks of the cluster that ask for these resources.

        Args:
            cpus: cores of a task.
            gpus: GPUs of a task, the only ones that it sees.
            memory: bytes of a task.
        """

        def each(do: Callable[[Item], Result], items: Sequence[Item]) -> Outcomes[Item, Result]:
            ray, folder, waiting = self._ray, os.getcwd(), iter(items)
            task = ray.remote(_in_folder).options(num_cpus=cpus, num_gpus=gpus, memory=memory, max_retries=TIMES)
            what = ray.put(do)
            running: dict[Any, Item] = {}
            try:
                while True:
                    for item in islice(waiting, AT_ONCE - len(running)):
                        running[task.remote(folder, what, item)] = item
                    if not running:
                        return
                    for ended in ray.wait(list(running), timeout=POLL_SECONDS)[0]:
                        yield running.pop(ended), self._outcome(ended)
            finally:
                for reference in running:
                    ray.cancel(reference)

        return each

    def _outcome(self, reference: Any) -> "Future[Any]":
        errors = self._ray.exceptions

        def call() -> Any:
            try:
                return self._ray.get(reference)
            except errors.RayTaskError as error:  # what the task itself raised
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except errors.RayError as error:
                lost = f"its worker or node was lost {TIMES + 1} times ({one_line(error)})"
                raise DataError(f"{lost}; give tasks more memory, or look at that machine") from error

        return outcome_of(call)


def _in_folder(folder: str, do: Callable[[Item], Result], item: Item) -> Result:
    os.chdir(folder)
    return do(item)


def check_name(on: str) -> None:
    """Refuse what names no cluster.

    Args:
        on: what a user gave to `--on`.

    Raises:
        ConfigError: it is neither `ray` nor an address.
    """
    if on != "ray" and not on.startswith("ray://"):
        raise ConfigError(f"--on is {on}; give ray, or ray://HOST:10001")


@contextmanager
def connected(on: str) -> Iterator[Cluster]:
    """Connect to a cluster, or start one of this machine alone.

    Args:
        on: what a user gave to `--on`.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.

    Example:
        >>> with connected("dask"):
        ...     pass
        Traceback (most recent call last):
        adawac.errors.ConfigError: --on is dask; give ray, or ray://HOST:10001
    """
    check_name(on)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"--on {on} needs Ray ({error}); pip install 'adawac[ray]', on every node") from None
    try:
        _connect(ray, None if on == "ray" else on)
    except Exception as error:  # of many kinds
        raise ConfigError(f"--on {on}: no cluster answers ({one_line(error)}); is it running? `ray status`") from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    """Again where the cluster answers, and the process that it starts for us dies as it begins (Ray's issue 63202)."""
    for tries_left in reversed(range(TIMES + 1)):
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
            return
        except ConnectionAbortedError:
            if not tries_left:
                raise


@contextmanager
def each_on(on: str | None, device: str | None = None) -> Iterator[Each | None]:
    """Tasks of the cluster that a user named, of a core each, and of a GPU where they use one; None: no cluster.

    Args:
        on: what a user gave to `--on`.
        device: of each task.
    """
    if on is None:
        yield None
        return
    with connected(on) as cluster:
        yield cluster.each(gpus=1 if (device or "").startswith("cuda") else 0)
