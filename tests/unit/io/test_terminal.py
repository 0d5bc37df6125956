"""How far work is, where no terminal shows a bar."""

import pytest

from adawac.io import terminal


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only as a test says."""
    now = [0.0]
    monkeypatch.setattr(terminal, "monotonic", lambda: now[0])
    return now


def test_a_line_now_and_then_and_none_at_the_end(clock, capsys):
    for number in terminal.bar("Reading volumes")(iter(range(10)), 10):
        assert number < 10
        clock[0] += 10
    assert capsys.readouterr().err.splitlines() == [
        "Reading volumes: 3 of 10, 0:01:10 left",
        "Reading volumes: 6 of 10, 0:00:40 left",
        "Reading volumes: 9 of 10, 0:00:10 left",
    ]


def test_none_of_work_that_is_soon_done(clock, capsys):
    assert list(terminal.bar("Reading volumes")("abc", 3)) == ["a", "b", "c"]
    assert "".join(capsys.readouterr()) == ""
