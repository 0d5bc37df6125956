"""What a cell may use is given to it: GPUs and threads in its environment, and what a job of a cluster asks for."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
import yaml

from adawac.errors import ConfigError
from adawac.study import Cell, read_study, resources, runner
from adawac.study.resources import Resources, shares
from adawac.study.slurm import slurm_script

FOUR = ("0", "1", "GPU-ab", "3")
ANY = Resources()


@pytest.fixture
def cells(tmp_path) -> list[Cell]:
    return [Cell(f"seed{k}", {"seed": f"seed{k}"}, (), tmp_path / f"seed{k}") for k in range(4)]


class TestShares:
    def gpus_of(self, jobs, of_each=ANY, cells=9, gpus=FOUR, cpus=16):
        return [share.get("CUDA_VISIBLE_DEVICES") for share in shares(jobs, cells, of_each, gpus, cpus)]

    def test_no_gpu_is_in_two_shares(self):
        assert self.gpus_of(None) == list(FOUR)
        assert self.gpus_of(2) == ["0", "1"]
        assert self.gpus_of(None, Resources(gpus=2)) == ["0,1", "GPU-ab,3"]
        assert self.gpus_of(None, Resources(gpus=3)) == ["0,1,GPU-ab"]

    def test_unless_it_is_to_be_shared(self):
        assert self.gpus_of(None, Resources(gpus=0.5)) == [*FOUR, *FOUR]
        assert self.gpus_of(2, Resources(gpus=0)) == ["", ""]
        assert self.gpus_of(2, gpus=()) == [None, None]

    def test_no_more_shares_than_cells(self):
        assert self.gpus_of(None, cells=3) == list(FOUR[:3])
        assert self.gpus_of(None, cells=0) == ["0"]

    @pytest.mark.parametrize(
        ("jobs", "of_each", "threads"), [(4, {}, "4"), (3, {}, "5"), (40, {}, "1"), (2, {"cpus": 3}, "3")]
    )
    def test_cores_are_shared_out(self, jobs, of_each, threads):
        found = shares(jobs, 99, Resources(**of_each), (), 16)
        assert len(found) == jobs
        assert {share["OMP_NUM_THREADS"] for share in found} == {threads}

    def test_auto_without_gpus_takes_the_cores(self):
        assert len(shares(None, 99, Resources(), (), 16)) == 16
        assert len(shares(None, 99, Resources(cpus=5), (), 16)) == 3

    @pytest.mark.parametrize(
        ("jobs", "gpus", "each"), [(5, 1, "1 GPU each"), (3, 2, "2 GPUs each"), (1, 8, "8 GPUs"), (9, 0.5, "0.5 GPUs")]
    )
    def test_more_than_there_is_are_refused(self, jobs, gpus, each):
        with pytest.raises(
            ConfigError, match=rf"--jobs: {jobs} .* with {each}.* than the 4 that there are; lower --jobs"
        ):
            self.gpus_of(jobs, Resources(gpus=gpus))

    def test_what_the_user_shows_is_what_there_is(self, monkeypatch):
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        assert resources.visible_gpus() == ("0", "1")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-ab")
        assert resources.visible_gpus() == ("5", "GPU-ab")


class TestEnvironment:
    def environments(self, cells, found, monkeypatch) -> dict[str, dict[str, str]]:
        """What each cell is run with; all shares are in use at once."""
        seen: dict[str, dict[str, str]] = {}
        together = Barrier(len(found))

        def run(cell, config, environment, stop):
            seen[cell.name] = environment
            together.wait(10)

        monkeypatch.setattr(runner, "run_cell", run)
        runner.run_cells(cells, dict.fromkeys([cell.name for cell in cells], ""), found, lambda cell: None)
        return seen

    def test_each_cell_has_gpus_of_its_own(self, cells, monkeypatch):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,GPU-ab,3")
        seen = self.environments(cells, shares(None, 4, Resources(), FOUR, 16), monkeypatch)
        assert sorted(each["CUDA_VISIBLE_DEVICES"] for each in seen.values()) == sorted(FOUR)
        assert {each["OMP_NUM_THREADS"] for each in seen.values()} == {"4"}
        assert {each["PATH"] for each in seen.values()} == {os.environ["PATH"]}

    def test_a_share_that_is_free_is_given_again(self, cells, monkeypatch):
        seen = self.environments(cells, shares(2, 4, Resources(gpus=2), FOUR, 16), monkeypatch)
        assert sorted(each["CUDA_VISIBLE_DEVICES"] for each in seen.values()) == ["0,1"] * 2 + ["GPU-ab,3"] * 2

    def test_threads_that_the_user_set_stay(self, cells, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        seen = self.environments(cells, shares(2, 4, Resources(), (), 16), monkeypatch)
        assert {each["OMP_NUM_THREADS"] for each in seen.values()} == {"7"}
        assert all(each.get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES") for each in seen.values())


@pytest.mark.gpu
def test_two_cells_see_a_gpu_each():
    gpus = resources.visible_gpus()
    if len(gpus) < 2:
        pytest.skip(f"two cells need two CUDA devices; there are {len(gpus)}")
    code = "import torch; print(torch.cuda.device_count(), torch.cuda.get_device_properties(0).uuid)"
    said = [
        subprocess.check_output([sys.executable, "-c", code], env=runner.environment_of(share), text=True)
        for share in shares(2, 2, Resources(), gpus, 2)
    ]
    assert all(each.startswith("1 ") for each in said)
    assert said[0] != said[1]


class TestOfAStudy:
    def study(self, folder: Path, content: object):
        path = folder / "study.yaml"
        path.write_text(yaml.safe_dump({"name": "s", "grid": {"seed": [0, 1]}, "resources": content}))
        return read_study(path, folder / "runs")

    def test_are_read(self, tmp_path):
        given = {"gpus": 0.5, "cpus": 8, "memory": "32G", "time": "8:00:00"}
        assert self.study(tmp_path, given).resources == Resources(0.5, 8, "32G", "8:00:00")
        assert self.study(tmp_path, None).resources == Resources()

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"gpu": 1}, r"there is no gpu; did you mean gpus\? give gpus, cpus, memory, time"),
            ({"gpus": 1.5}, "resources.gpus is 1.5; give whole GPUs"),
            ({"gpus": "all"}, "resources.gpus is 'all'; give whole GPUs"),
            ({"gpus": -1}, "resources.gpus is -1; give"),
            ({"cpus": 0}, "resources.cpus is 0; give a number of cores"),
            ({"cpus": True}, "resources.cpus is True; give"),
            ({"memory": "32 gigabytes"}, "resources.memory is '32 gigabytes'; write it as 32G"),
            ({"memory": 32}, "resources.memory is 32; write it as 32G"),
            ({"time": 28800}, "resources.time is 28800; write it as"),
            ({"time": "1:00\n#SBATCH --wrap=x"}, "resources.time is .*; write it as"),
            ([1], "needs `key: value` lines"),
        ],
    )
    def test_others_are_refused(self, tmp_path, content, said):
        with pytest.raises(ConfigError, match=said):
            self.study(tmp_path, content)


class TestSlurm:
    def script(self, tmp_path, of_each=ANY, template="study.sbatch.jinja") -> str:
        study = TestOfAStudy().study(tmp_path, None)
        study = replace(study, resources=of_each)
        return slurm_script(template, study, study.cells, tmp_path / "study.yaml", [], tmp_path)

    def test_a_job_asks_for_what_a_cell_may_use(self, tmp_path):
        asked = [
            line for line in self.script(tmp_path, Resources(0.5, 8, "32G", "8:00:00")).splitlines() if "SBATCH" in line
        ]
        for option in ("--gres=gpu:1", "--cpus-per-task=8", "--mem=32G", "--time=8:00:00", "--array=0-1", "--requeue"):
            assert f"#SBATCH {option}" in asked
        report = self.script(tmp_path, Resources(1, 8, "32G", "8:00:00"), "report.sbatch.jinja")
        assert "#SBATCH --mem=32G" in report
        assert "gres" not in report
        assert "--report" in report

    def test_nothing_is_asked_for_that_nobody_named(self, tmp_path):
        assert not any(option in self.script(tmp_path) for option in ("--gres", "--cpus-per", "--mem", "--time"))

    @pytest.mark.parametrize(("code", "again"), [(143, True), (0, False)])
    def test_a_job_that_must_stop_ends_its_cell_and_is_queued_again(self, tmp_path, code, again):
        """Slurm sends SIGTERM to the script alone."""
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "scontrol").write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/queued\n')
        cell = folder / "cell"
        cell.write_text(
            f"#!/bin/bash\ntrap 'exit {code}' TERM\ntouch {tmp_path}/begun\nfor i in {{1..200}}; do sleep 0.05; done\n"
        )
        for file in folder.iterdir():
            file.chmod(0o755)
        script = self.script(tmp_path).replace(sys.executable, str(cell))
        variables = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "77", "PATH": f"{folder}:{os.environ['PATH']}"}
        job = subprocess.Popen(["bash", "-c", script], env=os.environ | variables)
        end = time.monotonic() + 30
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        assert job.wait(30) == 143
        assert (tmp_path / "queued").exists() == again
        assert not again or (tmp_path / "queued").read_text() == "requeue 77_1\n"
