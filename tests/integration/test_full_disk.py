"""A disk that is full: every command says in a line which file it was, and nothing is left of it."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config

from adawac.cli import main
from adawac.errors import TrainingError
from adawac.runs.atomic_checkpoint import AtomicCheckpointIO


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Bytes, in this process; beyond, a write fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A run of a single step, and its data."""
    home = tmp_path_factory.mktemp("home")
    settings = tiny_settings(home / "run", write_msd(home / "msd", cases=4, shape=(8, 32, 32)))
    settings["trainer"] |= {"max_steps": 1, "limit_val_batches": 1}
    settings["model"]["weighting"] = "ERM"
    assert main(["fit", str(write_config(home / "run", settings))]) == 0
    assert main(["test", str(home / "run/runs/tiny/version_0")]) == 0
    return home


RUN, FIT = "{home}/run/runs/tiny/version_0", "{home}/run/config.yaml"
COMMANDS = [
    ("phantom mine --patients 1 --size 8 32 32", "mine"),
    ("init {home}/msd -o mine.yaml", "mine.yaml"),
    (f"prepare {FIT} --data.store mine", "mine"),
    (f"evaluate {RUN} -o mine --pictures=0", "mine/"),
    (f"predict {RUN} -i {{home}}/msd/imagesTr -o mine --device cpu --pictures", "mine/p"),
    (f"test {RUN}", "version_0/cases.csv"),
    (f"fit {FIT} --name mine", "mine/version_0/"),
    (f"rerun {RUN}", "tiny_rerun/version_0/"),
    (f"export {RUN} --format torchscript -o mine", "mine"),
    (f"export {RUN} --format monai-bundle -o mine", "mine"),
    pytest.param(f"export {RUN} --format onnx -o mine", "mine", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("size", [20, 2048])
@pytest.mark.parametrize(("line", "named"), COMMANDS)
def test_the_file_is_named(home, tmp_path, monkeypatch, capsys, line, named, size):
    monkeypatch.chdir(tmp_path)
    with no_file_larger_than(size):
        code = main(line.format(home=home).split())
    said = capsys.readouterr().err
    assert code == 2
    assert "; let it be written" in said or "; free space there" in said
    assert "checkpoint is whole" not in said  # there is none
    lines = [each for each in said.splitlines() if "too large" in each or "cannot be written" in each]
    assert lines
    assert all(named in each for each in lines)
    assert not [path for path in tmp_path.rglob(".*") if path.name not in (".lock", ".owner", ".hashes")]
    assert not list(tmp_path.glob("*.log"))


def test_a_checkpoint_that_is_the_first_has_none_before_it(tmp_path):
    with (
        no_file_larger_than(1 << 10),
        pytest.raises(TrainingError, match=r"cannot be written \(.*\); free space and give the command again"),
    ):
        AtomicCheckpointIO().save_checkpoint({"adawac_recipe": "a" * 2000}, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())
    AtomicCheckpointIO().save_checkpoint({"adawac_recipe": "a"}, tmp_path / "best.ckpt")
    with no_file_larger_than(1 << 10), pytest.raises(TrainingError, match=r"whole: free space and go on with --resume"):
        AtomicCheckpointIO().save_checkpoint({"adawac_recipe": "a" * 2000}, tmp_path / "last.ckpt")
