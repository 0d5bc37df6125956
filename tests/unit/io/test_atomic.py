"""Files that are written whole: flushed before they have their names, and nothing left where the disk fails."""

import ast
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adawac import cli
from adawac.data.split import Split
from adawac.io.atomic import atomic_write, to_disk, write_text
from adawac.io.canonical import Geometry
from adawac.io.volumes import write_label_nifti
from adawac.runs.folder import RunFolder

PACKAGE = Path(cli.__file__).parents[1]


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """What is flushed and renamed, in its order."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushed(descriptor):
        done.append("flush " + Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def renamed(source, target):
        done.append(f"rename {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    return done


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files as Linux gives them")
class TestPowerCut:
    @pytest.mark.parametrize(
        "write",
        [
            lambda folder: write_text(folder / "a", "text"),
            lambda folder: RunFolder(folder).write_record({"steps": 1}),
            lambda folder: RunFolder(folder).write_split(Split(("a",), (), ())),
            lambda folder: write_label_nifti(folder / "a.nii.gz", np.zeros((2, 2, 2), np.uint8), Geometry((2, 2, 2))),
        ],
    )
    def test_a_file_is_on_the_disk_before_it_has_its_name_and_so_is_the_name(self, tmp_path, calls, write):
        write(tmp_path)
        assert [call.split()[0] for call in calls] == ["flush", "rename", "flush"]
        assert calls[2] == f"flush {tmp_path.name}"

    def test_folders_with_all_that_is_in_them(self, tmp_path, calls):
        (tmp_path / "a/b").mkdir(parents=True)
        for name in ("a/one", "a/b/two"):
            (tmp_path / name).touch()
        to_disk(tmp_path / "a")
        assert sorted(calls) == ["flush a", "flush b", "flush one", "flush two"]


NOT_KEPT = {
    "cli.__init__": "what was said on the terminal as well",
    "data.store": "in a folder that gets its name once it is on the disk",
    "inference.export.bundle": "likewise",
    "inference.export.onnx_file": "likewise, a file",
    "inference.export.torchscript": "likewise, a file",
    "io.locking": "who holds a lock, as long as it is held",
    "phantom.__init__": "an example, into an empty folder, which is made again",
}
"""Modules that write without `atomic_write`, and why they may."""


def test_whatever_is_kept_is_written_whole():
    writing: set[str] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
            said = ast.unparse(call.func)
            name, values = said.rpartition(".")[2], [*call.args, *(key.value for key in call.keywords)]
            modes = {
                value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)
            }
            opens = name in ("open", "ZipFile") and modes & {"w", "wb", "x", "xb"}  # what is appended to is a log
            writes = "." in said and (name in ("write_text", "write_bytes") or said.endswith(("np.save", "nib.save")))
            if (opens or writes or said == "program.save") and not said.startswith(("unfinished.", "scratch.")):
                writing.add(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    assert writing == set(NOT_KEPT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="locks of files as POSIX has them")
def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path):
    name = "a[1]*.nii.gz"
    if not (killed := os.fork()):
        with atomic_write(tmp_path / name) as unfinished:
            unfinished.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(killed, 0)
    [left] = tmp_path.iterdir()
    write_text(tmp_path / "b", "text")
    assert left.exists()
    with atomic_write(tmp_path / name) as first:
        first.write_text("first")
        assert not left.exists()
        write_text(tmp_path / name, "second")
        assert first.exists()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "first", "b": "text"}


class TestFailingDisk:
    def test_the_file_is_named_and_the_old_one_stays(self, tmp_path):
        (tmp_path / "a").write_text("old")

        def fail():
            with atomic_write(tmp_path / "a") as unfinished:
                unfinished.write_text("half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.raises(OSError, match="No space") as raised:
            fail()
        assert raised.value.filename == str(tmp_path / "a")
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a").read_text() == "old"

    @pytest.mark.parametrize("number", ["EFBIG", "EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "ENAMETOOLONG"])
    def test_one_line_whatever_the_disk_says(self, monkeypatch, capsys, number):
        code = getattr(errno, number)

        def failing(argv):
            raise OSError(code, os.strerror(code), "labels/a.nii.gz")

        monkeypatch.setattr("adawac.cli.predict.main", failing)
        assert cli.main(["predict"]) == 2
        remedy = "free space there" if number in ("ENOSPC", "EDQUOT") else "let it be written"
        assert capsys.readouterr().err == (
            f"adawac predict: labels/a.nii.gz: {os.strerror(code)}; {remedy}, or name another place\n"
        )

    def test_a_name_may_be_as_long_as_names_can_be(self, tmp_path):
        write_text(tmp_path / ("ä" * 127), "text")
        assert [path.read_text() for path in tmp_path.iterdir()] == ["text"]

    @pytest.mark.skipif(sys.platform != "linux", reason="limits of files as Linux has them")
    def test_a_file_that_may_not_grow(self, tmp_path):
        code = (
            "import resource, signal, sys; from adawac.cli import main\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n"
            "import adawac.cli.export as command; from adawac.io.atomic import write_text; from pathlib import Path\n"
            "command.main = lambda argv: write_text(Path(argv[0]), 'x' * 10**6)\n"
            "sys.exit(main(['export', sys.argv[1]]))"
        )
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == (
            f"adawac export: {tmp_path}/a: File too large; let it be written, or name another place\n"
        )
        assert not list(tmp_path.iterdir())
