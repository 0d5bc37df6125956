"""What can be typed: the help of training on a page, and the configurations that come along."""

import subprocess
import sys
from pathlib import Path

import pytest

from adawac.cli import TOOLS, TRAINING, main
from adawac.errors import ConfigError
from adawac.io.shipped import FOLDER
from adawac.training.configuration import parser_of, resolve


@pytest.mark.parametrize("command", sorted(TRAINING))
def test_help_of_training_is_a_page_of_options_that_there_are(command, capsys):
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 60
    assert max(map(len, said)) <= 120
    options = {line.split()[0] for line in said if line.startswith("  --")}
    assert len(options) >= 6
    assert options <= {*parser_of(command)._option_string_actions, "--trust"}
    if command == "fit":
        assert any("--trainer.max_epochs" in line and "(default: 20)" in line for line in said)


@pytest.mark.parametrize("command", sorted(TRAINING))
def test_defaults_on_the_page_are_those_that_there_are(command, capsys):
    main([command, "--help"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  --")]
    parser = parser_of(command)
    for option, line in ((line.split()[0], line) for line in lines):
        default = None if option == "--trust" else parser.get_default(option[2:])
        if isinstance(default, bool | int | float) or default in ("auto", "run", "runs"):
            assert line.endswith(f"(default: {str(default).lower()})")
        else:
            assert not line.endswith(")") or "(default: " not in line


def test_help_of_training_waits_for_no_library():
    code = "import sys; from adawac.cli import main; main(['fit', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_configurations_that_come_along_are_listed_printed_and_found(capsys, tmp_path, monkeypatch):
    """Wherever one works: the file's own place is the package's."""
    monkeypatch.chdir(tmp_path)
    assert main(["configs"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "  " in line]
    assert {"openkbp_unet", "overlays/gpu", "studies/openkbp5"} <= set(listed)
    for name in listed:
        assert main(["configs", name]) == 0
        assert capsys.readouterr().out == (FOLDER / f"{name}.yaml").read_text()
    for given in ("openkbp_unet", "--config=openkbp_unet.yaml", "configs/openkbp_unet.yaml"):
        values = resolve(["fit", given, "--config", "overlays/gpu", "--data.root", "d"]).values
        assert values["trainer.accelerator"] == "gpu"
        assert values["name"] == "openkbp_unet"
    Path("openkbp_unet").write_text("name: own\n")  # what is there comes first, and lacks the rest
    with pytest.raises(ConfigError):
        resolve(["fit", "openkbp_unet"])


@pytest.mark.parametrize("command", sorted((TRAINING | TOOLS).keys() - {"configs", "completion"}))
def test_a_command_alone_says_what_it_needs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main([command])
    assert "the following arguments are required" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["test", "validate"])
def test_a_network_that_has_learnt_nothing_is_not_measured(command, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(f"data: {{root: {tmp_path}}}\nmodel: {{network: {{}}}}\n")
    assert main([command, "--config", str(tmp_path / "mine.yaml"), "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert "no checkpoint is given, so that a network would be measured that has learnt nothing" in said
    assert f"give a run (adawac {command} runs/NAME/version_0)" in said
    assert not (tmp_path / "runs").exists()
