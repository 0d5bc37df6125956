"""Whose training took more or less than the reference's: the first thing that keeps a comparison from being fair."""

from statistics import fmean

from adawac.report.contents import Contents


def unequal_compute(report: Contents) -> str:
    """Who trained with more or fewer network passes than the reference; empty where nobody did, or nothing is known.

    A method differs that stands on any subset below 0.95 or above 1.05 of the reference's passes, in the mean of runs.
    """
    ratios: dict[str, list[float]] = {}
    for subset in report.subsets:
        passes = {method.name: fmean(method.network_passes or [0]) for method in subset.methods}
        if theirs := passes.get(report.reference, 0):
            for name, mine in passes.items():
                if mine and not 0.95 <= mine / theirs <= 1.05:
                    ratios.setdefault(name, []).append(mine / theirs)
    said = [f"{name} {_times(min(each), max(each))}" for name, each in ratios.items()]
    return f"Compute is not equal: of the network passes of {report.reference}, {', '.join(said)}." if said else ""


def _times(low: float, high: float) -> str:
    """A ratio, or a range of them.

    Example:
        >>> _times(2, 2), _times(0.5, 2)
        ('took 2.0 times', 'took 0.5 to 2.0 times')
    """
    least, most = (f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2g}" for ratio in (low, high))
    return f"took {least} times" if least == most else f"took {least} to {most} times"
