"""What is drawn follows the losses of the steps before, by online mirror descent."""

from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from adawac.data.groups import Grouping
from adawac.data.sampling.block_sums import Blocks
from adawac.data.sampling.sampling import Losses, Sampling, check_size
from adawac.data.sampling.systematic import Rows
from adawac.data.units import UnitTable
from adawac.errors import ConfigError, some_of

CAP = 5.0
"""No unit moves the state further than one that is this many times as hard as the mean, or as rare as plain."""


class Draw(NamedTuple):
    """A batch, and how probable its units were when it was drawn.

    Attributes:
        rows: (B,) different rows of the table of units.
        p: (B,) probability of each under the distribution that the batch was drawn by, of sum 1 over all units.
    """

    rows: Rows
    p: NDArray[np.float64]


class AdaptiveSampling(Sampling):
    """Draws hard groups of units more often, and in them hard units: adaptive weights decide what the network sees.

    Two players share one draw. q is a distribution over groups: over the classes (`balance: classes`), over those of a
    `Grouping`, or one group of all (None). beta_i in [0, 1] is a unit's weight within its groups:

        p_i = floor / n + (1 - floor) * sum over the groups g of i of [q_g * beta_i / sum of beta over g].

    After every step, with l_i the supervised losses of its units, u_i = 1 / (n p_i) and m the running mean of
    u_i l_i / mean(u), log-odds z_i of beta_i and log q_g move up for what is harder than the mean, and else down:

        z_i     +=  step_size * min(u_i, 5) * (min(l_i / m, 5) - 1),       within +-max_log_odds
        log q_g +=  group_step_size * (min(L_g / m, 5) - 1),               L_g: mean of u_i l_i / u_i over the group.

    With one group this is AdaWAC's supervised player, with a constant in place of the consistency loss: it decides what
    is drawn instead of how much it counts, for one view and at the cost of plain training (AdaWAC-S).

    The guarantee of mirror descent, a duality gap of O(1 / sqrt(steps)), is for losses that are convex in the network's
    parameters, with unbiased u_i. It does not cover batch Dice, the moving m, the bounds 5 and `max_log_odds`, or real
    networks.

    Args:
        balance: `classes`, a `Grouping`, or None.
        floor: share of a batch that is drawn from all units alike, above 0 and at most 1.
        step_size: of beta, at least 0; 0 leaves the units of a group alike.
        group_step_size: of q, at least 0; 0 leaves the groups alike.
        group_floor: share of q that all groups have alike, 0 to 1.
        max_log_odds: bound on the log-odds.
        lag: steps between the weights that a batch is drawn by and the step that trains on it. 1: the step before
            decides. Where workers fetch batches ahead it is larger: None takes what they need (recorded in the
            checkpoint); a number makes trainings with any number of workers agree.

    Raises:
        ConfigError: if an argument lies outside of its range.

    References:
        Dong, Xie, Ward, ICML 2023 (the weights); Namkoong, Duchi, NeurIPS 2016, and Curi et al., NeurIPS 2020 (drawing
        by them); Sagawa et al., ICLR 2020 (q). With a constant for the consistency loss the objective is the form of
        the conditional value at risk of Rockafellar and Uryasev, 2000, at a fixed threshold.

    Example:
        >>> units = UnitTable.of_slices(["a"], [np.array([[9, 0]] * 8 + [[7, 2]] * 2)], (3, 3), ("background", "liver"))
        >>> sampling = AdaptiveSampling()
        >>> sampling.allocate(units)
        >>> for step in range(9):
        ...     batch = sampling.draw_batch(4, np.random.default_rng(step))
        ...     sampling.observe(batch, losses=np.where(units.dense[batch.rows], 3.0, 0.1))
        >>> bool(sampling.probabilities()[units.dense].min() > sampling.probabilities()[~units.dense].max())
        True
    """

    needs_steps: ClassVar[bool] = True

    def __init__(
        self,
        balance: Grouping | str | None = None,
        floor: float = 0.05,
        step_size: float = 3.0,
        group_step_size: float = 0.1,
        group_floor: float = 0.3,
        max_log_odds: float = 6.0,
        lag: int | None = None,
    ) -> None:
        if isinstance(balance, str) and balance != "classes":
            raise ConfigError(f"AdaptiveSampling: balance is {balance}; give classes, a grouping, or null")
        if not 0 < floor <= 1:
            raise ConfigError(f"AdaptiveSampling: floor is {floor}; give a share of a batch above 0, at most 1")
        if not 0 <= group_floor <= 1:
            raise ConfigError(f"AdaptiveSampling: group_floor is {group_floor}; give a share from 0 to 1")
        if not (0 <= step_size < np.inf and 0 <= group_step_size < np.inf):
            raise ConfigError(
                f"AdaptiveSampling: step_size is {step_size} and group_step_size {group_step_size}; both must be "
                "finite and at least 0 (0 does not move)"
            )
        if not max_log_odds > 0:
            raise ConfigError(f"AdaptiveSampling: max_log_odds is {max_log_odds}; it must be above 0 (6 is usual)")
        if lag is not None and lag < 1:
            raise ConfigError(f"AdaptiveSampling: lag is {lag}; a batch is drawn by the step before it (1) or earlier")
        self.balance = balance
        self.floor = floor
        self.step_size = step_size
        self.group_step_size = group_step_size
        self.group_floor = group_floor
        self.max_log_odds = max_log_odds
        self.lag = lag
        self.log_odds: NDArray[np.float64] = np.zeros(0)
        """(n,) z of every unit."""
        self.group_names: tuple[str, ...] = ()
        self._n = 0
        self._log_q: NDArray[np.float64] = np.zeros(0)
        self._mean, self._mean_weight = 0.0, 0.0

    def allocate(self, units: UnitTable) -> None:
        """Make the state for a training set, afresh."""
        self._n = len(units)
        self._blocks = Blocks(units.dense)
        members = _members(self.balance, units)
        self.group_names = tuple(members)
        self._kind, self._groups_of_kind = _kinds(list(members.values()), self._n)
        self.log_odds = np.zeros(self._n)
        self._log_q = np.zeros(len(members))
        self._mean, self._mean_weight = 0.0, 0.0
        self._sum_up()

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n,) beta of every unit; 1/2 before it first had a loss."""
        return _sigmoid(self.log_odds)

    @property
    def q(self) -> NDArray[np.float64]:
        """(G,) share of each group, of sum 1."""
        relative: NDArray[np.float64] = np.exp(self._log_q - self._log_q.max())
        q: NDArray[np.float64] = (1 - self.group_floor) * relative / relative.sum() + self.group_floor / len(relative)
        return q

    def probabilities(self) -> NDArray[np.float64]:
        """(n,) how often each unit comes by the weights as they are, of sum 1."""
        return self._of_rows(np.arange(self._n), *self._shares())

    def _of_rows(self, rows: Rows, a_weight: NDArray[np.float64], alike: float) -> NDArray[np.float64]:
        """P of rows, of any shape."""
        p: NDArray[np.float64] = self._beta[rows] * (self._groups_of_kind @ a_weight)[self._kind[rows]] + alike
        return p

    def _shares(self) -> tuple[NDArray[np.float64], float]:
        """(G,) p of a unit of weight 1 on account of each group, and p that every unit has."""
        sums = np.ones(len(self._sums)) @ self._sums
        share = (1 - self.floor) * self.q
        return np.divide(share, sums, out=np.zeros_like(sums), where=sums > 0), (1 - share[sums > 0].sum()) / self._n

    def _sum_up(self) -> None:
        """Take beta from the log-odds, and add it up in each group of each block."""
        self._beta = self.weights
        self._sums = np.zeros((len(self._blocks.rows), len(self.group_names)))
        for some in np.array_split(np.arange(len(self._sums)), -(-self._n // 10**5)):  # to bound memory
            self._sum_blocks(some)

    def _sum_blocks(self, blocks: NDArray[np.integer]) -> None:
        """Of some blocks: a function of the log-odds alone, however they came about."""
        rows, kinds = self._blocks.rows[blocks], len(self._groups_of_kind)
        beta = self._beta[rows] * self._blocks.there[blocks]
        place = np.arange(len(blocks))[:, None] * kinds + self._kind[rows]
        of_kind = np.bincount(place.ravel(), beta.ravel(), len(blocks) * kinds).reshape(-1, kinds)
        self._sums[blocks] = of_kind @ self._groups_of_kind

    def draw(self, units: UnitTable, losses: Losses, size: int, rng: np.random.Generator) -> Rows:
        """Rows by the weights as they are, of the table that they were allocated for."""
        return self.draw_batch(size, rng).rows

    def draw_batch(self, size: int, rng: np.random.Generator) -> Draw:
        """A batch by the weights as they are.

        Args:
            size: B units of the batch, at most n.
            rng: of this batch alone.
        """
        check_size(size, self._n)
        a_weight, alike = self._shares()
        of_blocks = self._sums @ a_weight + alike * self._blocks.count
        return Draw(*self._blocks.draw(of_blocks, partial(self._of_rows, a_weight=a_weight, alike=alike), size, rng))

    def observe(self, batch: Draw, losses: ArrayLike | torch.Tensor) -> None:
        """Move the weights by the losses of a batch.

        Args:
            batch: as it was drawn.
            losses: (B,) supervised loss of each of its units. NaN: it has none, and keeps its weight; infinite ones
                count as hard, and move no mean.

        Raises:
            ConfigError: if these are not one a unit of the batch.
        """
        given: NDArray[np.float64] = torch.as_tensor(losses).detach().double().cpu().numpy()
        if given.shape != batch.rows.shape:
            raise ConfigError(f"losses of shape {given.shape} for {len(batch.rows)} units; give one a unit")
        known = ~np.isnan(given)
        rows, rarity = batch.rows[known], 1 / (self._n * batch.p[known])
        hard = given[known]
        finite = np.isfinite(hard)
        if not finite.any():
            return
        mean = np.average(hard[finite], weights=rarity[finite])
        self._mean, self._mean_weight = 0.9 * self._mean + 0.1 * mean, 0.9 * self._mean_weight + 0.1
        hardness = np.minimum(hard / max(self._mean / self._mean_weight, np.finfo(np.float64).tiny), CAP)
        moved = self.log_odds[rows] + self.step_size * np.minimum(rarity, CAP) * (hardness - 1)
        self.log_odds[rows] = moved.clip(-self.max_log_odds, self.max_log_odds)
        self._beta[rows] = _sigmoid(self.log_odds[rows])
        self._sum_blocks(np.unique(self._blocks.of_row[rows]))
        for group, members in enumerate(self._groups_of_kind[self._kind[rows]].T > 0):
            if members.any():
                harder = np.average(hardness[members], weights=rarity[members])
                self._log_q[group] += self.group_step_size * (harder - 1)

    def state_dict(self) -> dict[str, Any]:
        """The state, for a checkpoint."""
        return {
            "log_odds": torch.from_numpy(self.log_odds.copy()),
            "groups": list(self.group_names),
            "log_q": torch.from_numpy(self._log_q.copy()),
            "mean": torch.tensor([self._mean, self._mean_weight], dtype=torch.float64),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same units and groups, once they are allocated.

        Raises:
            ConfigError: if it is of others.
        """
        there, saved = ((len(self.log_odds), len(self._log_q)), (len(state["log_odds"]), len(state["log_q"])))
        if there != saved:
            raise ConfigError(
                f"AdaptiveSampling: the state is of {saved[0]} units in {saved[1]} groups, but allocated are "
                f"{there[0]} in {there[1]}; call allocate(units) with the units and the balance that it was saved with"
            )
        if (groups := list(state.get("groups", self.group_names))) != list(self.group_names):
            raise ConfigError(
                f"AdaptiveSampling: the state is of the groups {some_of(groups)}, but allocated are those of "
                f"{some_of(self.group_names)}; call allocate(units) with what it was saved with"
            )
        self.log_odds = state["log_odds"].numpy().copy()
        self._log_q = state["log_q"].numpy().copy()
        self._mean, self._mean_weight = state["mean"].tolist()
        self._sum_up()


def _sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-log_odds))


def _members(balance: Grouping | str | None, units: UnitTable) -> dict[str, Rows]:
    """The rows of each group, of those that have any; units without any label are in none."""
    if balance is None:
        return {"all": np.flatnonzero(units.labelled)}
    if isinstance(balance, str):
        of_class = dict(zip(units.classes[1:], units.rows_of_class[1:], strict=True))
        return {name: rows for name, rows in of_class.items() if len(rows)} or _members(None, units)
    member, names = balance(units)
    return {name: np.flatnonzero(member == group) for group, name in enumerate(names)}


def _kinds(members: list[Rows], rows: int) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Which groups each row is in, as few kinds of rows: (n,) the kind of each, (kinds, G) its groups as 0 and 1."""
    packed = np.zeros((rows, -(-len(members) // 8)), np.uint8)
    for group, its_rows in enumerate(members):
        packed[its_rows, group // 8] |= 128 >> group % 8
    found, kind = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)
    groups = np.unpackbits(found.view(np.uint8).reshape(len(found), -1), axis=1, count=len(members))
    return kind.astype(np.uint16 if len(found) < 1 << 16 else np.intp), groups.astype(np.float64)
