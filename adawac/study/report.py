"""The report at the end of a study: methods compared on each training subset, over seeds."""

from pathlib import Path

from adawac.report.make import make_report
from adawac.report.sources import Source, evaluate_sources, references_of_runs
from adawac.report.wording import summary
from adawac.report.write import write_report
from adawac.study.spec import Study


def report_study(
    study: Study, command: str = "", reference: str | None = None, device: str = "cpu"
) -> tuple[str, Path]:
    """Write the report on all finished cells into the study's folder; unfinished ones are named in it.

    Args:
        study: at least one cell has finished.
        command: what was typed.
        reference: method to compare with; None chooses.
        device: where the worst cases are predicted for their pictures.

    Returns:
        The summary, and the HTML file.

    Raises:
        DataError: if no cell has finished, or the cells' tables do not fit together.
    """
    finished = [cell for cell in study.cells if cell.state == "finished"]
    sources = [Source(cell.run.path, *study.labels(cell)) for cell in finished]
    references, why_none = references_of_runs(sources)
    report = make_report(
        evaluate_sources(sources, references, "penalise", device=device),
        references,
        title=study.name,
        reference=reference,
        why_no_references=why_none,
        command=command,
        unfinished={cell.name: cell.state for cell in study.cells if cell.state != "finished"},
    )
    return summary(report), write_report(report, study.folder / "report")
