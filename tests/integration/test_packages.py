"""What is given away: a source distribution that holds all, a wheel made of it, and an empty environment with that."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "adawac",
    "docs",
    "scripts",
    "tests",
    "*.md",
    "*.toml",
    "*.in",
    "*.py",
    "*.txt",
    "*.yml",
    "*.cff",
    "LICENSE",
    "Makefile",
)
BUILD = "import sys, setuptools.build_meta as made; print(getattr(made, sys.argv[1])(sys.argv[2]))"


def said_by(*command, folder, **environment):
    """What a command prints; it knows nothing of this checkout."""
    known = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ADAWAC_DATA")}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=known | environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(kind, folder, out):
    """The file that setuptools makes of a folder."""
    return out / said_by(sys.executable, "-c", BUILD, kind, out, folder=folder).split()[-1]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The source distribution of a copy of this checkout, and the wheel that is made of it."""
    out = tmp_path_factory.mktemp("packages")
    (out / "copy").mkdir()
    for path in {path for pattern in SOURCES for path in ROOT.glob(pattern)}:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, out / "copy" / path.name)
    (out / "copy/configs").symlink_to("adawac/configs")
    source = built("build_sdist", out / "copy", out)
    with tarfile.open(source) as archive:
        archive.extractall(out / "source", filter="data")
    [unpacked] = (out / "source").iterdir()
    return unpacked, built("build_wheel", unpacked, out)


@pytest.mark.slow
def test_the_source_distribution_holds_what_the_tests_need(packages):
    unpacked, _ = packages
    for folder in ("adawac", "tests", "docs", "scripts"):
        here = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        wanted = {path for path in here if "__pycache__" not in path.parts}
        assert not {path for path in wanted if not (unpacked / path).is_file()}, folder
    assert (unpacked / "configs/phantom_unet.yaml").is_file()
    assert (unpacked / "Makefile").is_file()


@pytest.mark.slow
def test_the_page_on_pypi_has_no_link_that_leads_nowhere(packages):
    with zipfile.ZipFile(packages[1]) as wheel:
        [name] = (each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
        page = wheel.read(name).decode()
    assert "Description-Content-Type: text/markdown" in page
    assert "## On your own data, in five steps" in page
    assert not [link for link in re.findall(r"]\(([^)]*)\)", page) if not link.startswith(("https://", "#"))]


@pytest.mark.slow
def test_the_wheel_trains_in_an_empty_environment(packages, tmp_path):
    """Its dependencies are those of this environment, whose own adawac is not seen."""
    _, wheel = packages
    venv.create(tmp_path / "env")
    site = next((tmp_path / "env").glob("lib*/python*/site-packages"))
    python, adawac = (tmp_path / "env/bin" / name for name in ("python", "adawac"))
    options = ("install", "--no-deps", "--no-index", "--disable-pip-version-check", "-q", wheel)
    said_by(sys.executable, "-m", "pip", "--python", python, *options, folder=tmp_path)
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    home = tmp_path / "home"
    home.mkdir()
    where = said_by(python, "-c", "import adawac; print(adawac.__file__)", folder=home)
    assert Path(where.strip()).is_relative_to(site)
    assert "openkbp_unet" in said_by(adawac, "configs", folder=home)
    said_by(adawac, "phantom", "scans", "--patients", "6", "--size", "8", "32", "32", folder=home)
    said = said_by(adawac, "init", "scans", "--name", "mine", folder=home)
    assert "adawac fit mine.yaml" in said
    short = ("--trainer.max_epochs", "1", "--trainer.precision", "32-true", "--pictures", "false")
    said_by(adawac, "fit", "mine.yaml", *short, folder=home, OMP_NUM_THREADS="1")
    assert "Dice, mean of classes" in said_by(adawac, "test", "runs/mine/version_0", folder=home)
    said_by(adawac, "evaluate", "runs/mine/version_0", "-o", "report", folder=home)  # its templates come along
    assert (home / "report/report.html").is_file()
