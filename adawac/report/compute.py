"""Whose training took more or less than the reference's: the first thing that keeps a comparison from being fair."""

from collections.abc import Iterable, Mapping
from statistics import fmean

from adawac.errors import some_of
from adawac.report.contents import Contents


def unequal_compute(report: Contents) -> str:
    """Who trained with other network passes than the reference; empty where nobody did, or nothing is known."""
    passes = [{each.name: fmean(each.network_passes or [0]) for each in subset.methods} for subset in report.subsets]
    return " ".join(filter(None, (more_or_fewer(passes, report.reference), _unlike(report))))


def _unlike(report: Contents) -> str:
    """Whose passes are of another network or of images of another size, by the first run of each method that tells."""
    passes = {run.method: run.pass_of for run in reversed(report.runs) if run.pass_of}
    theirs = passes.get(report.reference, {})
    said = []
    for name, mine in passes.items():
        unsaid = {key for key in mine.keys() ^ theirs.keys() if key.startswith("data.")}  # older runs did not write all
        differ = [key for key in {**theirs, **mine} if mine.get(key) != theirs.get(key) and key not in unsaid]
        if theirs and differ:
            said.append(f"{some_of(differ)} of {name}")
    if not said:
        return ""
    return f"Passes do not cost the same: set otherwise than in {report.reference} are {', '.join(said)}."


def more_or_fewer(subsets: Iterable[Mapping[str, float]], reference: str) -> str:
    """Who took more or fewer passes: below 0.95 or above 1.05 of the reference's on any subset.

    Args:
        subsets: for each training subset method -> passes of a run, 0 where not known.
        reference: name of the method to compare with.
    """
    ratios: dict[str, list[float]] = {}
    for passes in subsets:
        if theirs := passes.get(reference, 0):
            for name, mine in passes.items():
                if mine and not 0.95 <= mine / theirs <= 1.05:
                    ratios.setdefault(name, []).append(mine / theirs)
    said = [f"{name} {_times(min(each), max(each))}" for name, each in ratios.items()]
    return f"Compute is not equal: of the network passes of {reference}, {', '.join(said)}." if said else ""


def _times(low: float, high: float) -> str:
    """A ratio, or a range of them.

    Example:
        >>> _times(2, 2), _times(0.5, 2)
        ('took 2.0 times', 'took 0.5 to 2.0 times')
    """
    least, most = (f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2g}" for ratio in (low, high))
    return f"took {least} times" if least == most else f"took {least} to {most} times"
