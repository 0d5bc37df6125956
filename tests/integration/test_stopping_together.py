"""An error, a NaN or a signal in one of two processes stops both: nobody is left waiting for the other."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config


@pytest.mark.parametrize(
    ("fault", "settings", "status", "said"),
    [
        pytest.param("FailAt", {"step": 3, "rank": 0}, 2, "RuntimeError: injected", marks=pytest.mark.slow),
        pytest.param("FailAt", {"step": 3, "rank": 1}, 2, "RuntimeError: injected", marks=pytest.mark.slow),
        pytest.param(
            "Poison",
            {"step": 3, "rank": 1},
            2,
            "step 3 (epoch 0): the loss or its gradient is not finite",
            marks=pytest.mark.slow,
        ),
        pytest.param("SignalAt", {"step": 3, "rank": 1}, 143, "stopped by SIGTERM; saved", marks=pytest.mark.slow),
    ],
    ids=["error-in-the-first", "error-in-the-second", "nan", "signal"],
)
def test_what_stops_one_process_stops_both(tmp_path, fault, settings, status, said):
    config = tiny_settings(tmp_path / "run", write_msd(tmp_path / "msd", cases=4, shape=(7, 32, 32)))
    config["trainer"] |= {
        "devices": 2,
        "strategy": "ddp",
        "max_epochs": 50,
        "callbacks": [{"class_path": f"faults.{fault}", "init_args": settings}],
    }
    config["data"]["batch_size"] = 4
    path = write_config(tmp_path / "run", config)
    session = subprocess.Popen(
        [sys.executable, "-m", "adawac", "fit", "--config", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[1],  # where `faults` lies
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        output, _ = session.communicate(timeout=90)  # which waits for every process that holds the pipe
    finally:
        with suppress(ProcessLookupError):
            os.killpg(session.pid, signal.SIGKILL)
    assert said in output
    assert session.returncode == status
