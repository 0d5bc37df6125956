"""Draws from millions of rows that look at few of them: rows lie in blocks of which the sums are known."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from adawac.data.sampling.systematic import Rows, at_most

MOST_BLOCKS = 1 << 13
"""Up to so many rows each is a block of its own."""


class Blocks:
    """Blocks of neighbouring rows of a table, each of label-dense rows or of others.

    Args:
        dense: (n,) which rows are label-dense.
        most: number of blocks, or a little more.

    Attributes:
        rows: (m, s) rows of each block; where the last one is not full, its last row again.
        there: (m, s) which of them are.
        of_row: (n,) block of each row.
        dense: (m,) which blocks are label-dense.
        count: (m,) rows of each block.

    Example:
        >>> blocks = Blocks(np.array([True, False, False, True, False]), most=3)
        >>> blocks.rows.tolist(), blocks.of_row.tolist(), blocks.count.tolist()
        ([[0, 3], [1, 2], [4, 4]], [0, 1, 1, 0, 2], [2, 2, 1])
    """

    def __init__(self, dense: NDArray[np.bool_], most: int = MOST_BLOCKS) -> None:
        length = -(-len(dense) // most)
        parts = [np.arange(len(dense))] if length == 1 else [np.flatnonzero(dense), np.flatnonzero(~dense)]
        places = [np.arange(-(-len(part) // length) * length).reshape(-1, length) for part in parts]
        self.there = np.concatenate([place < len(part) for place, part in zip(places, parts, strict=True)])
        self.rows = np.concatenate(
            [part[np.minimum(place, len(part) - 1)] for place, part in zip(places, parts, strict=True) if len(part)]
        )
        self.of_row = np.empty(len(dense), np.int32)
        self.of_row[self.rows.ravel()] = np.repeat(np.arange(len(self.rows), dtype=np.int32), length)
        self.dense = dense[self.rows[:, 0]]
        self.count = self.there.sum(axis=1)

    def draw(
        self,
        p: NDArray[np.float64],
        of_rows: Callable[[Rows], NDArray[np.float64]],
        size: int,
        rng: np.random.Generator,
    ) -> tuple[Rows, NDArray[np.float64]]:
        """As `draw_exactly` of `at_most(p, 1 / size)`: each row comes with probability size * p_i, exactly.

        Blocks take the place of rows, in random order; those that a tooth of the comb falls into are laid out row by
        row, in the order of the table. So rows of a block, which are neighbours there, seldom come together.

        Args:
            p: (m,) sums of the blocks, of sum 1.
            of_rows: p of rows, of any shape.
            size: rows of the batch.
            rng: of this batch alone.

        Returns:
            (size,) different rows in random order; and their p, at most 1 / size.
        """
        bound = 1 / size
        opened = np.flatnonzero(p > bound * (1 + 1e-9))  # which may hold rows above the bound
        inside = np.zeros((0, self.rows.shape[1]))
        scale = 1.0
        while len(opened):
            inside = of_rows(self.rows[opened]) * self.there[opened]
            closed = np.delete(p, opened)
            bounded = at_most(np.concatenate([inside.ravel(), closed]), bound)
            others = bounded[inside.size :]
            scale = float(others.sum() / closed.sum()) if closed.any() else 1.0
            more = np.delete(np.arange(len(p)), opened)[others > bound * (1 - 1e-9)]
            inside = bounded[: inside.size].reshape(inside.shape)
            if not len(more):
                break
            opened = np.union1d(opened, more)
        p = p * scale
        p[opened] = inside.sum(axis=1)

        while True:
            shuffled = rng.permutation(len(p))
            order = shuffled[np.argsort(~self.dense[shuffled], kind="stable")]
            ends = np.cumsum(p[order])
            teeth = (rng.random() + np.arange(size)) / size * ends[-1]
            hit = np.minimum(np.searchsorted(ends, teeth, side="right"), len(p) - 1)
            blocks = order[hit]
            rows = self.rows[blocks]
            found = of_rows(rows)
            if len(opened):
                found *= scale
                is_open = np.isin(blocks, opened)
                found[is_open] = inside[np.searchsorted(opened, blocks[is_open])]
            into = teeth - (ends[hit] - p[blocks])
            column = np.count_nonzero(np.cumsum(found, axis=1) <= into[:, None], axis=1)
            places = np.arange(size), np.minimum(column, self.count[blocks] - 1)
            drawn = rows[places]
            if len(set(drawn.tolist())) == size:  # rounding may let two teeth meet in a row of length 1 / size
                again = rng.permutation(size)
                return drawn[again], found[places][again]
