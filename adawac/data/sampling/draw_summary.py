"""What was drawn: how often slices came, and what they held."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adawac.data.units import UnitTable


@dataclass(frozen=True)
class DrawSummary:
    """How often the training units were drawn.

    Attributes:
        dense: share of the draws that were of label-dense units, 0 to 1.
        of_class: foreground class -> share of the draws that held it; a unit may hold several.
        least: draws of the unit that came least often.
        median: draws of half of the units, or fewer.
        most: draws of the unit that came most often.
        effective: (sum of draws)^2 / sum of draws^2: so many units, drawn equally often, would vary as much.
    """

    dense: float
    of_class: dict[str, float]
    least: int
    median: float
    most: int
    effective: float

    @classmethod
    def of(cls, units: UnitTable, draws: NDArray[np.integer]) -> "DrawSummary | None":
        """Of (n,) draws of the units; None where nothing was drawn.

        Example:
            >>> units = UnitTable.of_slices(["a"], [np.array([[9, 0], [7, 2]])], (3, 3), ("background", "liver"))
            >>> DrawSummary.of(units, np.array([1, 3]))
            DrawSummary(dense=0.75, of_class={'liver': 0.75}, least=1, median=2.0, most=3, effective=1.6)
        """
        total = int(draws.sum())
        if not total:
            return None
        held = zip(units.classes[1:], units.rows_of_class[1:], strict=True)
        return cls(
            dense=float(draws[units.dense].sum() / total),
            of_class={name: float(draws[rows].sum() / total) for name, rows in held},
            least=int(draws.min()),
            median=float(np.median(draws)),
            most=int(draws.max()),
            effective=total**2 / float(np.square(draws.astype(np.float64)).sum()),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the record of a run."""
        return asdict(self)

    def scalars(self) -> dict[str, float]:
        """To be logged."""
        return {
            "draws/dense_share": self.dense,
            "draws/per_slice_min": float(self.least),
            "draws/per_slice_median": self.median,
            "draws/per_slice_max": float(self.most),
            "draws/effective_slices": self.effective,
            **{f"draws/class/{name}": share for name, share in self.of_class.items()},
        }
