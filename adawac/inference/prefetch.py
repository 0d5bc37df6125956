"""Load the next item while this one is worked on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


def prefetched(items: Iterable[Item], load: Callable[[Item], Loaded]) -> Iterator[tuple[Item, "Future[Loaded]"]]:
    """Items in their order, each with what is loaded for it; one more is being loaded meanwhile, in a thread.

    Args:
        items: to load.
        load: called once for each of them.

    Yields:
        The item, and its future: `result()` waits, or raises what `load` raised.

    Example:
        >>> [(item, future.result()) for item, future in prefetched([1, 2, 3], lambda item: item**2)]
        [(1, 1), (2, 4), (3, 9)]
    """
    loading: deque[tuple[Item, Future[Loaded]]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as pool:
        for item in items:
            loading.append((item, pool.submit(load, item)))
            if len(loading) > 1:
                yield loading.popleft()
        yield from loading
