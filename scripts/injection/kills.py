"""Signals at random moments, of which SIGKILL leaves no time for anything; then the same command again."""

import random
import shutil
import signal
import time

import yaml
from tiny_data import write_msd

from injection.place import Place, Row, differing, state_of
from injection.processes import Moments, adawac


def in_training(place: Place, times: int, rng: random.Random) -> Row:
    """SIGKILL at random moments of runs that are taken up again until they end."""
    moments = Moments(place.seconds, rng)
    hits = runs = alike = 0
    while hits < times:
        name = f"killed{runs}"
        arguments = [*place.config(name), "--resume=auto"]
        for _ in range(4):  # kills of one run, before it may end
            if hits < times and moments.interrupt(arguments, 0.2, 1.0):
                hits += 1
        alike += place.ends_alike(name, arguments)
        runs += 1
    return Row(
        "`kill -9` while training",
        hits,
        f"{runs} runs, each resumed until it ended; {alike} of {runs} end bit for bit like the undisturbed run",
        "steps since the last checkpoint, which are done again",
    )


def in_preparing(place: Place, times: int, rng: random.Random) -> Row:
    """SIGKILL while a new store is filled; larger volumes, so that there is a moment to meet."""
    root = write_msd(place.home / "large", cases=10, shape=(40, 160, 160))
    options = [f"--data.root={root}", "--trainer.max_epochs=1", "--resume=auto"]
    begun = time.monotonic()
    assert adawac(*place.config("large", "large_store"), *options).status == 0
    moments = Moments(time.monotonic() - begun, rng)
    hits = runs = alike = 0
    expected = state_of(place.run("large"))
    while hits < times:  # a run may end before its signal comes
        store, name = f"store{runs}", f"prepared{runs}"
        arguments = [*place.config(name, store), *options]
        hits += moments.interrupt(arguments, 0.3, 0.8) is not None
        alike += place.ends_alike(name, arguments, expected)
        runs += 1
        shutil.rmtree(place.home / store)
    return Row(
        "`kill -9` while preparing data",
        hits,
        f"the same command again; {alike} of {runs} runs end bit for bit like the undisturbed run",
        "the case under way, which is prepared again",
    )


def in_studying(place: Place, times: int, rng: random.Random) -> Row:
    """SIGKILL of a study and all its processes; the same again until every cell has ended."""
    study = {
        "name": "study",
        "config": "config.yaml",
        "common": {"data.store": str(place.home / "store")},
        "grid": {"method": {"erm": {"model.weighting": "ERM"}, "adawac": {"model.weighting": "AdaWAC"}}},
    }
    (place.home / "study.yaml").write_text(yaml.safe_dump(study))

    def command(runs: str) -> list[str]:
        return ["study", str(place.home / "study.yaml"), f"--runs={place.home / runs}"]

    begun = time.monotonic()
    done = adawac(*command("study_unbroken"))
    assert done.status == 0, done.said
    moments = Moments(time.monotonic() - begun, rng)
    hits = runs = alike = 0
    while hits < times:
        name = f"study_killed{runs}"
        hits += moments.interrupt(command(name), 0.2, 0.8, group=True) is not None
        # Cells are sessions of their own; those that a kill of the study leaves behind go on, and are waited for.
        done = adawac(*command(name))
        assert done.status == 0, done.said
        for cell in ("erm", "adawac"):
            one, other = (place.home / f"{folder}/study/{cell}/version_0" for folder in ("study_unbroken", name))
            alike += not differing(state_of(other), state_of(one))
        runs += 1
    return Row(
        "`kill -9` of a study",
        hits,
        f"the same command again; {alike} of {2 * runs} cells end bit for bit like those of an undisturbed study",
        "nothing: cells under way go on by themselves and are waited for",
    )


def asked_to_stop(place: Place, times: int, rng: random.Random) -> Row:
    """SIGTERM and SIGINT at random moments."""
    moments = Moments(place.seconds, rng)
    stopped: list[int] = []
    runs = alike = 0
    while len(stopped) < times:
        signum, name = (signal.SIGTERM, signal.SIGINT)[len(stopped) % 2], f"signalled{runs}"
        arguments = [*place.config(name), "--resume=auto"]
        if status := moments.interrupt(arguments, 0.5, 0.95, signum=signum):  # neither ended before, nor 0
            stopped.append(status)
        alike += place.ends_alike(name, arguments)
        runs += 1
    return Row(
        "SIGTERM, SIGINT",
        len(stopped),
        f"exit status {', '.join(map(str, sorted(set(stopped))))}; {alike} of {runs} runs end bit for bit like "
        "the undisturbed run",
        "nothing once training has begun: the step under way is ended and saved",
    )
