"""Completion, asked of the shells themselves."""

import os
import pty
import select
import shutil
import subprocess
import time

import pytest
import shtab

from adawac.cli import TOOLS, TRAINING
from adawac.cli.completion import whole_parser

ASKED = [
    (["stu"], {"study"}),
    (["f"], {"fit"}),
    (["predict", "--fl"], {"--flip"}),
    (["study", "--dry"], {"--dry-run"}),
    (["fit", "--model.dice"], {"--model.dice_ratio"}),
    (["test", "--trainer.precis"], {"--trainer.precision"}),
    (["evaluate", "--axis", "cor"], {"coronal"}),
    (["init", "--ski"], {"--skip-bad"}),
    (["prepare", "--model"], set()),  # takes such keys, and does not speak of them
    (["fit", "--config", "min"], {"mine.yaml"}),
    (["predict", "min"], {"mine.yaml"}),
    (["completion", "f"], {"fish"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The scripts of all shells, and files to be completed."""
    path = tmp_path_factory.mktemp("completion")
    parser = whole_parser()
    for shell, file in (("bash", "adawac.bash"), ("zsh", "_adawac"), ("fish", "adawac.fish")):
        (path / file).write_text(shtab.complete(parser, shell))
    for name in ("mine.yaml", "other.txt"):
        (path / name).touch()
    return path


def needs(shell):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"no {shell} here")


def said_by(*command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split("\n")) - {""}


def in_bash(words, folder):
    text = 'source adawac.bash; COMP_WORDS=(adawac "$@"); COMP_CWORD=$#; '
    text += '$(complete -p adawac | sed "s/.*-F \\([^ ]*\\).*/\\1/") adawac "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"; '
    return said_by("bash", "--norc", "-c", text + 'printf "%s\\n" "${COMPREPLY[@]}"', "bash", *words, folder=folder)


@needs("bash")
@pytest.mark.parametrize(("words", "expected"), ASKED)
def test_bash(folder, words, expected):
    assert in_bash(words, folder) == expected


@needs("bash")
def test_every_command_is_offered(folder):
    assert in_bash([""], folder) >= {*TRAINING, *TOOLS}


@needs("fish")
@pytest.mark.parametrize(("words", "expected"), ASKED)
def test_fish(folder, words, expected):
    asked = f"source adawac.fish; complete -C 'adawac {' '.join(words)}'"
    assert {line.split("\t")[0] for line in said_by("fish", "--no-config", "-c", asked, folder=folder)} == expected


@pytest.mark.slow
@needs("zsh")
@pytest.mark.parametrize(("words", "expected"), [case for case in ASKED if case[1]])
def test_zsh(folder, words, expected):
    """Typed at its prompt, with the tabulator: what it makes of the line is printed by itself."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvp("zsh", ["zsh", "-f", "-i"])
    setup = "PS1=; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; adawac() { echo GIVEN $@ END; }; "
    setup += "echo RE''ADY\n"  # as typed it is not yet what is awaited
    try:
        os.write(terminal, setup.encode())
        read_until(terminal, "READY")
        os.write(terminal, f"adawac {' '.join(words)}\t\n".encode())
        said = read_until(terminal, " END\r")
    finally:
        os.write(terminal, b"\x03\nexit\n")
        os.close(terminal)
        os.waitpid(child, 0)
    assert f"GIVEN {' '.join([*words[:-1], *expected])} END" in said


def read_until(terminal, awaited, seconds=60):
    said, end = "", time.monotonic() + seconds
    while awaited not in said and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            said += os.read(terminal, 4096).decode(errors="replace")
    assert awaited in said
    return said
