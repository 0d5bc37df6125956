"""The next item is loaded while this one is worked on, never more than one ahead."""

import threading

import pytest

from adawac.inference.prefetch import prefetched


def test_the_next_item_is_loaded_meanwhile_and_no_other():
    started = {item: threading.Event() for item in range(4)}

    def load(item):
        started[item].set()
        return item * 10

    for item, future in prefetched(range(4), load):
        assert future.result(timeout=5) == item * 10
        if item < 3:
            assert started[item + 1].wait(timeout=5)  # although nobody has asked for it yet
        assert not any(started[later].is_set() for later in range(item + 2, 4))


def test_an_error_belongs_to_its_item():
    found = []
    for item, future in prefetched([1, 0, 2], lambda item: 2 / item):
        try:
            found.append(future.result())
        except ZeroDivisionError:
            found.append(item)
    assert found == [2.0, 0, 1.0]


def test_nothing_is_loaded_for_nothing():
    assert list(prefetched([], pytest.fail)) == []
