"""`adawac study`: run a grid of methods, training subsets and seeds, and report what comes out."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from adawac.errors import ConfigError, DataError
from adawac.io.atomic import write_text
from adawac.io.shipped import find_shipped
from adawac.processes.cluster import HELP, check_name, connected
from adawac.training.suggestions import Parser

if TYPE_CHECKING:
    from adawac.io.terminal import Console
    from adawac.processes.cluster import Cluster
    from adawac.study import Cell, Study
    from adawac.study.resources import Resources


def main(argv: list[str]) -> int:
    """Parse the command line and run, list or export the study.

    Args:
        argv: arguments after `adawac study`.

    Returns:
        Exit status: 0 all cells finished, 1 a cell failed.

    Raises:
        ConfigError: the study breaks a rule, was begun with other settings, or has nothing to report on.
        Interrupted: SIGINT, SIGTERM or SIGHUP came.
    """
    args, more = parser().parse_known_args(argv)
    own = [option for action in parser()._actions for option in action.option_strings]
    for option in (each.partition("=")[0] for each in more if each.startswith("--")):
        if near := get_close_matches(option, own, n=1, cutoff=0.8):  # nearer than any option of `fit` to one of these
            raise ConfigError(f"{option} is no option of adawac study; did you mean {near[0]}?")

    from rich.text import Text

    from adawac.io.terminal import Console
    from adawac.study import read_study
    from adawac.study.resources import check_gpus, shares, visible_cpus, visible_gpus
    from adawac.study.runner import begun_otherwise, resolve

    check_gpus(args.gpus_per_cell, "--gpus-per-cell")
    console = Console(highlight=False)
    args.study = Path(find_shipped(str(args.study)))
    study = read_study(args.study, args.runs, more)
    if args.gpus_per_cell is not None:
        study = replace(study, resources=replace(study.resources, gpus=args.gpus_per_cell))
    if args.reference is not None:
        study.check_reference(args.reference)
    if args.on is not None:
        check_name(args.on)
    command = shlex.join(["adawac", "study", *argv])
    if args.report:
        if all(cell.state != "finished" for cell in study.cells):
            raise ConfigError(f"no cell has finished in {study.folder}; run the study first, or correct --runs")
        with console.status("checking what was run"):
            otherwise = begun_otherwise([cell for cell in study.cells if cell.state == "finished"])
        _report(study, command, args.reference, console)
        if otherwise is not None:
            console.print(f"These are numbers of what was run: {otherwise}", markup=False, soft_wrap=True)
        return 0
    chosen = study.take(args.cells) if args.cells else study.cells
    with console.status(f"checking {len(chosen)} cells"):
        configs = resolve(chosen)
    if args.emit:
        return _emit(study, chosen, args.study, more, console)
    found: Sequence[Mapping[str, str]] = ()
    if args.on is None:
        waiting = sum(cell.state != "finished" for cell in chosen)
        found = shares(args.jobs, waiting, study.resources, visible_gpus(), visible_cpus())
    if args.dry_run:
        _list(study, chosen, max(1, len(found)), console)
        return 0
    with connected(args.on) if args.on else nullcontext() as cluster:
        _run(chosen, configs, found, cluster, study.resources, console)
    if not args.cells:
        _report(study, command, args.reference, console)
    unfinished = [cell for cell in chosen if cell.state != "finished"]
    for cell in unfinished:
        console.print(Text(f"{cell.state}: {cell.name}, see {cell.log}"), style="red", soft_wrap=True)
    return 1 if unfinished else 0


def parser() -> Parser:
    """The command's options; `fit` has more."""
    made = Parser(
        prog="adawac study",
        description="Run every cell of a grid in a folder of its own, RUNS/STUDY/CELL. Finished cells are kept; what "
        "was stopped goes on when the same is typed again. All other options go to `adawac fit` in every cell.",
        epilog="example: adawac study configs/studies/openkbp5_small.yaml --data.root DATA/openkbp-ct",
    )
    made.add_argument(
        "study", type=Path, metavar="STUDY.yaml", help="the grid; see docs/howto.md; or its name in `adawac configs`"
    )
    made.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    made.add_argument(
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N",
        help="cells at the same time; auto: as many as there are GPUs for, or cores (default: 1)",
    )
    made.add_argument(
        "--gpus-per-cell", type=float, metavar="K", help="0.5: two cells share one; default: the study's, else 1"
    )
    made.add_argument("--on", help=f"run the cells on {HELP}")
    made.add_argument("--cells", nargs="+", metavar="CELL", help="run these only, and gather nothing")
    made.add_argument("--dry-run", action="store_true", help="list the cells, how far they are, and the time left")
    made.add_argument("--report", action="store_true", help="write the report on what is finished, run nothing")
    made.add_argument("--reference", metavar="METHOD", help="of the report; default: pair (equal compute), else erm")
    made.add_argument("--emit", choices=["slurm"], help="write a job array and a job for the report instead of running")
    return made


def _list(study: "Study", cells: "Sequence[Cell]", jobs: int, console: "Console") -> None:
    from rich.table import Table

    from adawac.study.runner import seconds_left

    table = Table("cell", "state", "time")
    for cell in cells:
        seconds = cell.record.get("seconds")
        table.add_row(cell.name, cell.state, "" if seconds is None else _time(seconds))
    console.print(table)
    waiting = [cell for cell in cells if cell.state != "finished"]
    left = seconds_left(waiting, study.cells, jobs)
    console.print(
        f"{len(waiting)} of {len(cells)} cells to run, {jobs} at a time; time left: "
        + ("not known before the first cell has run" if left is None else f"about {_time(left)}"),
        soft_wrap=True,
    )


def _emit(study: "Study", cells: "Sequence[Cell]", path: Path, more: Sequence[str], console: "Console") -> int:
    from adawac.study.slurm import slurm_script

    waiting = [cell for cell in cells if cell.state != "finished"]
    if not waiting:
        console.print("every cell is finished: there is nothing to submit")
        return 0
    jobs, report = study.folder / "study.sbatch", study.folder / "report.sbatch"
    write_text(jobs, slurm_script("study.sbatch.jinja", study, waiting, path, more, Path.cwd()))
    write_text(report, slurm_script("report.sbatch.jinja", study, waiting, path, more, Path.cwd()))
    after = f"sbatch --dependency=afterany:$(sbatch --parsable {jobs}) {report}"
    console.print(f"{len(waiting)} jobs in {jobs}, the report in {report}; next: {after}", markup=False, soft_wrap=True)
    return 0


def _jobs(text: str) -> int | None:
    """A number of cells; None for auto."""
    if text != "auto" and not (text.isdecimal() and int(text) > 0):
        raise ConfigError(f"--jobs is {text}; give the number of cells at the same time, 1 or more, or auto")
    return None if text == "auto" else int(text)


def _run(
    cells: "Sequence[Cell]",
    configs: dict[str, str],
    found: Sequence[Mapping[str, str]],
    cluster: "Cluster | None",
    of_each: "Resources",
    console: "Console",
) -> None:
    """Run what is not finished under a bar with the time left; report each cell as it ends."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
    from rich.text import Text

    from adawac.study.runner import last_lines, run_cells, run_cells_on, seconds_left

    class TimeLeft(ProgressColumn):
        """Counts down to the end that was last expected."""

        def render(self, task: Task) -> Text:
            expected = task.fields["expected"]
            return Text("" if expected is None else f"about {_time(max(0.0, expected - monotonic()))} left")

    waiting = [cell for cell in cells if cell.state != "finished"]

    def expected() -> float | None:
        seconds = seconds_left(waiting, cells, len(found)) if found else None
        return None if seconds is None else monotonic() + seconds

    def ended(cell: "Cell") -> None:
        waiting.remove(cell)
        end = expected()
        said = f"{cell.state}: {cell.name}, {_time(cell.record.get('seconds', 0.0))}"
        if end is not None and waiting and not console.is_terminal:  # which shows a bar
            said += f"; {len(waiting)} to go, about {_time(end - monotonic())} left"
        console.print(Text(said), soft_wrap=True)
        if cell.state == "failed":
            console.print(Text(last_lines(cell.log)), style="dim", soft_wrap=True)
        progress.update(bar, advance=1, expected=end)

    with Progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeLeft(), console=console) as progress:
        bar = progress.add_task("", total=len(cells), completed=len(cells) - len(waiting), expected=expected())
        if cluster is None:
            run_cells(tuple(waiting), configs, found, ended)
        else:
            run_cells_on(cluster, tuple(waiting), configs, of_each, ended)


def _report(study: "Study", command: str, reference: str | None, console: "Console") -> None:
    import torch

    from adawac.study.folds import compare_folds, is_cross_validation
    from adawac.study.report import report_study
    from adawac.study.results import gather, results_table

    results, left_out = gather(study)
    console.print(results_table(study, results, left_out))
    console.print(f"{study.folder / 'results.json'}, {study.folder / 'cells.csv'}", markup=False, soft_wrap=True)
    if is_cross_validation(study):
        try:
            table, file = compare_folds(study, reference)
        except (ConfigError, DataError) as error:
            console.print(f"no comparison: {error}", markup=False, soft_wrap=True)
            return
        console.print(f"{table}\n{file}", markup=False, soft_wrap=True)
    elif results:
        with console.status("writing the report"):
            device = "cuda" if torch.cuda.is_available() else "cpu"
            try:
                summary, page = report_study(study, command, reference, device)
            except DataError as error:  # such as a grid over data sets: the cells stand all the same
                console.print(f"no report: {error}", markup=False, soft_wrap=True)
                return
        console.print(f"{summary}\nreport: {page}", markup=False, soft_wrap=True)


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
