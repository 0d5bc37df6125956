"""A study as a Slurm job array, a job a cell."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from adawac.study.spec import Cell, Study


def slurm_script(study: Study, cells: Sequence[Cell], path: Path, more: Sequence[str], folder: Path) -> str:
    """Text of a script for `sbatch`.

    Args:
        study: the study.
        cells: those to be run, at least one.
        path: the study's YAML.
        more: what else was given on the command line, for every cell.
        folder: the working folder, to which paths are relative.

    Example:
        >>> from adawac.study.spec import Cell, Study
        >>> cell = Cell("erm", {"method": "erm"}, (), Path("runs/s/erm"))
        >>> study = Study("s", Path("runs/s"), ("method",), (cell,))
        >>> script = slurm_script(study, [cell], Path("my study.yaml"), [], Path("/home/me"))
        >>> [line for line in script.splitlines() if "array" in line or "cd" in line]
        ['#SBATCH --array=0-0', 'cd -- /home/me || exit']
    """
    command = [sys.executable, "-m", "adawac", "study", str(path), "--runs", str(study.folder.parent)]
    names = "\n".join(f"  {shlex.quote(cell.name)}" for cell in cells)
    return f"""#!/bin/bash
# What a job may use is given to sbatch: sbatch --gres=gpu:1 --cpus-per-task=8 --time=2:00:00 study.sbatch
# A job that was stopped goes on when it is submitted again. When all are done, `adawac study` on the same file gathers.
#SBATCH --job-name={study.name}
#SBATCH --array=0-{len(cells) - 1}
cells=(
{names}
)
cd -- {shlex.quote(str(folder))} || exit
exec {shlex.join(command)} --cells "${{cells[SLURM_ARRAY_TASK_ID]}}" {shlex.join(more)}
"""
