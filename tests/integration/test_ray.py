"""Work on a Ray cluster of three nodes on this machine: what dies goes on elsewhere, and the results are the same."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_study_runs import processes_of
from tiny_study import BASE, prepare

from adawac.cli import main
from adawac.errors import ConfigError
from adawac.processes import cluster

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'adawac[ray]'")
EPOCHS = 8
CLIENTS = 20001
"""Port of those who connect from elsewhere."""


@pytest.mark.parametrize("command", [["study", "study.yaml"], ["prepare", "--config", "base.yaml"]])
def test_without_ray_it_is_said_what_to_install(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(prepare(tmp_path))
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "split.json").write_text('{"train": ["pt_1", "pt_2"], "val": ["pt_3"], "test": ["pt_4"]}')
    assert main([*command, "--on", "ray"]) == 2
    assert "--on ray needs Ray" in (said := capsys.readouterr().err)
    assert "pip install 'adawac[ray]', on every node" in said


@pytest.mark.parametrize("on", ["dask", "ray:/head:10001"])
def test_other_clusters_are_refused(tmp_path, monkeypatch, capsys, on):
    monkeypatch.chdir(prepare(tmp_path))
    assert main(["prepare", "--config", "base.yaml", "--on", on]) == 2
    assert f"--on is {on}; give ray, or ray://HOST:10001" in capsys.readouterr().err


@pytest.mark.parametrize("deaths", [2, 4])
def test_a_process_of_the_cluster_that_dies_as_it_begins_is_asked_for_again(monkeypatch, deaths):
    asked = []

    def init(address: str, **_settings: object) -> None:
        asked.append(address)
        if len(asked) <= deaths:
            raise ConnectionAbortedError("Initialization failure from server")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, shutdown=lambda: None))
    with (
        pytest.raises(ConfigError, match=r"no cluster answers \(.*Initialization failure")
        if deaths > 3
        else nullcontext(),
        cluster.connected("ray://head:10001"),
    ):
        pass
    assert asked == ["ray://head:10001"] * min(deaths + 1, 4)


def test_what_is_done_here_is_given_with_its_outcome():
    def half(number: int) -> float:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number / 2

    for each in (cluster.in_threads, cluster.one_by_one):
        found = dict(each(half, [4, 5, 6]))
        assert [found[number].result() for number in (4, 6)] == [2, 3]
        with pytest.raises(ValueError, match="5 is odd"):
            found[5].result()


class Nodes:
    """A head that runs nothing, and nodes of a core each, every one with a raylet of its own."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "ray_client_server_port": CLIENTS}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(nodes)]
        self.environment = os.environ | {"RAY_ADDRESS": self.cluster.address, "RAY_USAGE_STATS_ENABLED": "0"}

    def start(self, home: Path, *arguments: str, on: str = "ray") -> subprocess.Popen:
        command = [sys.executable, "-m", "adawac", *arguments, "--on", on]
        return subprocess.Popen(command, cwd=home, env=self.environment, stdout=subprocess.PIPE, text=True)

    def ends(self, home: Path, *arguments: str, on: str = "ray") -> str:
        process = self.start(home, *arguments, on=on)
        said = process.communicate(timeout=3000)[0]
        assert process.returncode == 0, said
        return said

    def kill(self) -> None:
        """A node with all its processes, those of the trainings included."""
        node = self.nodes.pop()
        raylet = node.all_processes["raylet"][0].process.pid
        family = descendants(raylet)
        self.cluster.remove_node(node, allow_graceful=False)
        for process in family:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


def descendants(process: int) -> list[int]:
    """A process and all that it began."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, todo = [], [process]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def until(condition, process: subprocess.Popen, seconds: float = 1800) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


@pytest.fixture(scope="module")
def nodes():
    started = Nodes(3)
    yield started
    started.cluster.shutdown()


def results_of(home: Path) -> dict:
    results = json.loads((home / "runs/tiny/results.json").read_text())
    for cell in results["cells"]:
        del cell["seconds"]
    results["cells"].sort(key=lambda cell: cell["cell"])
    return results


@needs_ray
@pytest.mark.slow
def test_a_study_survives_a_node_and_its_driver_and_ends_as_if_nothing_had_been(tmp_path, nodes):
    grid = {"method": {"erm": {"model.weighting": "ERM"}, "pair": {"model.weighting": "Pair"}, "adawac": {}}}
    content = {"name": "tiny", "config": "base.yaml", "grid": grid | {"seed": [0, 1, 2, 3]}}
    base = BASE | {"trainer": BASE["trainer"] | {"max_epochs": EPOCHS}}
    homes = []
    for name in ("undisturbed", "disturbed"):
        (tmp_path / name).mkdir()
        homes.append(prepare(tmp_path / name, content, base))
    undisturbed, disturbed = homes
    assert nodes.ends(undisturbed, "study", "study.yaml").count("finished: ") == 12
    cells = disturbed / "runs/tiny"
    begun = lambda: list(cells.glob("*/version_0/checkpoints/last.ckpt"))  # noqa: E731
    driver = nodes.start(disturbed, "study", "study.yaml")
    until(begun, driver)
    nodes.kill()
    until(lambda: len(begun()) >= 4, driver)
    unfinished = sum(not (path / "version_0/cases.csv").exists() for path in cells.iterdir() if path.is_dir())
    driver.kill()
    driver.wait()
    assert unfinished > 1
    said = nodes.ends(disturbed, "study", "study.yaml")
    assert "report: runs/tiny/report/report.html" in said
    results = results_of(disturbed)
    assert results == results_of(undisturbed)
    assert len(results["cells"]) == 12
    assert {cell["images_seen"] for cell in results["cells"]} == {12 * EPOCHS}  # nothing was counted twice
    assert {path.name for path in cells.glob("*/version_*")} == {"version_0"}
    assert not any(processes_of(path) for path in cells.iterdir())


@needs_ray
@pytest.mark.slow
def test_volumes_are_prepared_predicted_and_measured_as_here(tmp_path, nodes):
    import nibabel

    home = prepare(tmp_path)
    base = ["--config", "base.yaml"]
    assert "4 prepared volumes" in nodes.ends(home, "prepare", *base)
    (home / "store").rename(home / "there")
    here = {"cwd": home, "check": True, "capture_output": True}
    adawac = [sys.executable, "-m", "adawac"]
    subprocess.run([*adawac, "prepare", *base], **here)
    arrays = sorted(path.relative_to(home / "store") for path in (home / "store").glob("pt_*/*/*.npy"))
    assert len(arrays) == 12
    assert all((home / "store" / path).read_bytes() == (home / "there" / path).read_bytes() for path in arrays)
    subprocess.run([*adawac, "fit", *base, "--name", "one"], **here)
    images = ["predict", "runs/one/version_0", "-i", "msd/imagesTr", "-o"]
    (home / "msd/imagesTr/pt_5.nii.gz").write_bytes(b"no image")
    failed = nodes.start(home, *images, "there_predicted")
    failed.communicate()
    assert failed.returncode == 2
    assert subprocess.run([*adawac, *images, "predicted"], cwd=home, check=False).returncode == 2
    names = sorted(path.name for path in (home / "predicted").glob("*.nii.gz"))
    assert names == [f"pt_{number}.nii.gz" for number in range(1, 5)]
    for name in names:
        ours, theirs = (
            np.asarray(nibabel.load(home / place / name).dataobj) for place in ("predicted", "there_predicted")
        )
        assert np.array_equal(ours, theirs)
    measured = ["evaluate", "mine=predicted", "--labels", "msd/labelsTr", "--shared-cases", "--title", "mine", "-o"]
    nodes.ends(home, *measured, "report_there", on=f"ray://127.0.0.1:{CLIENTS}")  # as from a machine elsewhere
    subprocess.run([*adawac, *measured, "report_here"], **here)
    assert (home / "report_there/cases.csv").read_bytes() == (home / "report_here/cases.csv").read_bytes()
