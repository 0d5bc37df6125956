"""A study as a Slurm job array, a job a cell, and a job that writes the report when all have ended."""

import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from adawac.io.templates import fill_template
from adawac.study.spec import Cell, Study


def slurm_script(
    template: str, study: Study, cells: Sequence[Cell], path: Path, more: Sequence[str], folder: Path
) -> str:
    """Text of a script for `sbatch`; what a job asks for are the study's resources.

    Args:
        template: `study.sbatch.jinja`, or `report.sbatch.jinja`.
        study: the study.
        cells: those to be run, at least one.
        path: the study's YAML.
        more: what else was given on the command line, for every cell.
        folder: the working folder, to which paths are relative.

    Example:
        >>> from adawac.study.spec import Cell, Study
        >>> cell = Cell("erm", {"method": "erm"}, (), Path("runs/s/erm"))
        >>> study = Study("s", Path("runs/s"), ("method",), (cell,))
        >>> script = slurm_script("study.sbatch.jinja", study, [cell], Path("my study.yaml"), [], Path("/home/me"))
        >>> [line for line in script.splitlines() if "array" in line or "cd" in line]
        ['#SBATCH --array=0-0', 'cd -- /home/me || exit']
    """
    return fill_template(
        "adawac.study",
        template,
        lambda value: shlex.quote(str(value)),
        study=study,
        gpus=math.ceil(study.resources.gpus or 0),
        cells=cells,
        path=path,
        more=more,
        folder=folder,
        python=sys.executable,
    )
