"""A study: a grid of runs (methods x training subsets x seeds), and what came out of them side by side."""

from adawac.study.spec import Cell, Study, read_study

__all__ = ["Cell", "Study", "read_study"]
