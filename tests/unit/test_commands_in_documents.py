"""Every command that a document shows can be typed: options, classes and files are there, values are of their kind."""

import re
import shlex
import subprocess
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from test_documents import ROOT, WRITTEN, in_code
from tiny_run import tiny_settings

from adawac.cli import TRAINING, main
from adawac.errors import AdaWACError
from adawac.io.shipped import files_first, find_shipped, with_shipped
from adawac.training.configuration import resolve

SHOWN = [*WRITTEN, ROOT / "docs/results/README.md"]
QUICK = {
    "phantom": ["--size", "24", "64", "64"],
    "init": ["--force"],
    "fit": ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.precision=32-true"],
    "test": ["--trainer.precision=32-true"],
    "study": ["--dry-run"],
}
"""What makes an example short, where it is run."""


def lines(text: str) -> list[str]:
    """Shell lines of a document's blocks of code, those that are continued as one."""
    blocks = "\n".join(code.replace("\\\n", " ") for code in in_code(text) if code.endswith("\n"))
    return [line.strip() for line in blocks.splitlines()]


def commands(text: str) -> list[list[str]]:
    """Arguments of each `adawac ...` among them, without what stands behind #."""
    found = [line for line in lines(text) if re.match(r"adawac [a-z]", line)]
    return [shlex.split(line.replace("$method", "ERM"), comments=True)[1:] for line in dict.fromkeys(found)]


def named_blocks() -> dict[str, str]:
    """Files that documents show: blocks whose first line is `# name.py` or `# name.yaml`."""
    texts = "\n".join(document.read_text() for document in WRITTEN)
    return dict(re.findall(r"^```(?:python|yaml)\n# (\w+\.(?:py|yaml))\n(.*?)^```", texts, re.MULTILINE | re.DOTALL))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the files that documents name: those they show, configurations, and runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in named_blocks().items():
        Path(name).write_text(text)
    settings = yaml.safe_dump(tiny_settings(tmp_path, tmp_path))
    words = {word for document in SHOWN for argv in commands(document.read_text()) for word in argv}
    for word in words:
        if word.endswith(".yaml") and find_shipped(word) == word and not Path(word).exists():
            assert "/" not in word, f"{word} does not come with adawac"
            Path(word).write_text(settings)
        if re.fullmatch(r"runs/\w+/version_0", word):
            Path(word, "checkpoints").mkdir(parents=True)
            Path(word, "config.yaml").write_text(settings)
            Path(word, "checkpoints/best.ckpt").touch()
    return tmp_path


@cache
def read(*argv: str) -> None:
    """Parse a command as it would, without doing it; one that several documents show is parsed once."""
    command, *rest = argv
    if command in TRAINING:
        resolve(argv)
        return
    parser = import_module(f"adawac.cli.{command}").parser()
    if command not in ("study", "rerun"):
        parser.parse_args(files_first(rest) if command == "prepare" else with_shipped(rest))
        return
    args, more = parser.parse_known_args(rest)
    assert command == "rerun" or Path(find_shipped(str(args.study))).is_file()
    resolve(["fit", "mine.yaml", *more])


@pytest.mark.parametrize("document", SHOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_are_ones_that_can_be_typed(document, place, capsys):
    for argv in commands(document.read_text()):
        try:
            read(*argv)
        except (AdaWACError, SystemExit) as refusal:
            pytest.fail(f"adawac {shlex.join(argv)}\n{refusal}\n{capsys.readouterr().err}")


def test_commands_that_cannot_be_typed_would_be_found(place):
    assert sum(len(commands(document.read_text())) for document in SHOWN) > 80
    for wrong in (
        "fit mine.yaml --data.size 3",
        "study mine_study.yaml --data.sise 3",
        "check --layout Foldrs",
        "fit no",
    ):
        with pytest.raises((AdaWACError, SystemExit)):
            read(*wrong.split())


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_commands_do_as_they_are_shown(document, tmp_path, monkeypatch):
    """On small generated CT, and trained for a step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)  # output, Python
    if document == "README.md":
        assert main(["phantom", "DATA", "--patients", "8", *QUICK["phantom"]]) == 0
        places = {"RUN_OR_PREDICTIONS ...": "runs/mine/version_0", "IMAGES": "DATA/imagesTr"}
        for placeholder, instead in places.items():
            text = text.replace(placeholder, instead)
    done = 0
    for line in dict.fromkeys(lines(text)):
        if re.match(r"adawac [a-z]", line):
            _, *argv = shlex.split(line, comments=True)
            assert main([*argv, *QUICK.get(argv[0], ())]) == 0, line
            done += 1
        elif re.match(r"(mkdir|cp|mv|rm) ", line):
            subprocess.run(line, shell=True, check=True)
    assert done >= 8
