"""What `adawac` says where no run is at hand: its commands, help, version and what they do not take."""

import subprocess
import sys
import warnings

import pytest
from tiny_data import write_msd
from tiny_run import tiny_settings, write_config

import adawac
from adawac.cli import TOOLS, TRAINING, main


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from adawac.cli import main; code = main(['--help']); "
        "heavy = {'torch', 'lightning', 'monai', 'matplotlib', 'jsonargparse', 'nibabel', 'numpy'}; "
        "sys.exit(code or ', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    for command in (*TRAINING, *TOOLS):
        assert f"\n  {command} " in done.stdout


# check and prepare take the options of the data, which have to be imported to be listed.
@pytest.mark.parametrize("command", sorted(TOOLS.keys() - {"check", "prepare"}))
def test_help_of_a_tool_is_as_light(command):
    code = (
        f"import sys\nfrom adawac.cli import main\ntry: main(['{command}', '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "sys.exit(', '.join({'torch', 'lightning', 'monai', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "usage: adawac " + command in done.stdout


def test_no_verb_and_unknown_verb(capsys):
    assert main([]) == 2
    assert "usage: adawac COMMAND" in capsys.readouterr().out
    assert main(["trian"]) == 2
    said = capsys.readouterr().err
    assert "there is no command 'trian'" in said
    assert "\n  fit " in said


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == adawac.__version__


@pytest.mark.parametrize("command", ["validate", "test"])
def test_what_is_no_run(command, tmp_path, capsys):
    assert main([command, str(tmp_path)]) == 2
    assert "is no run folder (no config.yaml in it); give one such as runs/NAME" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--resume=auto", "--non_finite"])
@pytest.mark.parametrize("command", ["validate", "test"])
def test_options_of_training_are_refused_where_nothing_is_trained(command, option, tmp_path, capsys):
    assert main([command, str(tmp_path), option, "skip"]) == 2
    said = capsys.readouterr().err
    assert f"{option.partition('=')[0]} means something to `adawac fit` alone; leave it out" in said


def test_a_warning_of_ours_shows_no_code(tmp_path):
    """Python's own way names a file of the package and a line of it."""
    program = (
        "import warnings, adawac.cli, adawac.data.splits as splits\n"
        "adawac.cli.main(['--version'])\n"
        "warnings.warn_explicit('two cases are in no part', UserWarning, splits.__file__, 7)\n"
        "warnings.warn_explicit('of another', UserWarning, warnings.__file__, 7)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.startswith("two cases are in no part\n")
    assert f"{warnings.__file__}:7: UserWarning: of another" in ended.stderr


def test_a_machine_without_what_is_asked_for_is_answered(tmp_path, capsys):
    """As a configuration of a cluster, tried on a laptop; what is said does run."""
    path = str(write_config(tmp_path, tiny_settings(tmp_path, write_msd(tmp_path / "msd", cases=4))))
    for option, value in (("accelerator", "gpuu"), ("devices", "0"), ("strategy", "ddpp")):
        assert main(["fit", "--config", path, f"--trainer.{option}", value]) == 2
        assert f"trainer.{option} is {value}" in (said := capsys.readouterr().err)
        assert "; auto takes what this machine has)" in said
    assert main(["fit", "--config", path, "--trainer.max_time", "5"]) == 2
    assert "auto takes" not in capsys.readouterr().err
    auto = [f"--trainer.{option}=auto" for option in ("accelerator", "devices", "strategy")]
    assert main(["fit", "--config", path, "--trainer.max_epochs=1", *auto]) == 0


def test_processes_that_would_each_train_alone_are_refused(tmp_path, monkeypatch, capsys):
    """Started by torchrun, with the trainer's own number of processes."""
    settings = tiny_settings(tmp_path, write_msd(tmp_path / "msd", cases=4))
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert main(["fit", "--config", str(write_config(tmp_path, settings))]) == 2
    said = capsys.readouterr().err
    assert "torchrun started 4 processes, but the trainer's settings make 1, so that each would train alone" in said
    assert "give --trainer.devices 2 --trainer.num_nodes 2, or leave torchrun out" in said
