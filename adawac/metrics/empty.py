"""What a metric is worth where one mask or both are empty: a named policy, printed beside every number."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from adawac.errors import ConfigError, did_you_mean

EmptyPolicy = Literal["penalise", "skip", "paper"]
"""Name of an `EmptyRule`."""

_NAN = float("nan")


class EmptyRule(NamedTuple):
    """Values that stand in where a metric is undefined; NaN leaves the case out of the mean.

    Attributes:
        both_overlap: Dice, IoU, recall, precision and surface Dice where both masks are empty.
        both_distance: surface distances where both masks are empty.
        one_overlap: the same where one mask is empty (a miss or a false alarm).
        one_distance: surface distances where one mask is empty, in diagonals of the volume.
        meaning: the rule in words, printed beneath every table.
    """

    both_overlap: float
    both_distance: float
    one_overlap: float
    one_distance: float
    meaning: str


EMPTY_RULES: Mapping[EmptyPolicy, EmptyRule] = MappingProxyType(
    {
        "penalise": EmptyRule(
            1.0,
            0.0,
            0.0,
            1.0,
            "both empty: Dice 1, distance 0; one empty: Dice 0, distance = diagonal of the volume",
        ),
        "skip": EmptyRule(
            _NAN, _NAN, 0.0, 1.0, "both empty: left out; one empty: Dice 0, distance = diagonal of the volume"
        ),
        "paper": EmptyRule(
            1.0,
            0.0,
            0.0,
            0.0,
            "both empty: Dice 1, distance 0; one empty: Dice 0, distance 0 (flatters misses)",
        ),
    }
)
"""`penalise` for reports, `skip` (nnU-Net's) to choose checkpoints, `paper` to compare with the paper."""


CHOOSING_POLICY: EmptyPolicy = "skip"
"""Checkpoints are chosen by Dice over the organs that a case holds or is said to hold, as nnU-Net does."""


def empty_rule(policy: EmptyPolicy) -> EmptyRule:
    """The rule that a policy's name stands for.

    Args:
        policy: "penalise", "skip" or "paper".

    Raises:
        ConfigError: if there is no policy of that name.

    References:
        `paper` is what the official code of Dong et al. (ICML 2023) reports by default.

    Example:
        >>> empty_rule("penalise").one_overlap, empty_rule("penalise").one_distance
        (0.0, 1.0)
    """
    if policy not in EMPTY_RULES:
        raise ConfigError(
            f"empty-mask policy {policy!r} is unknown{did_you_mean(policy, EMPTY_RULES)} "
            f"choose one of {', '.join(EMPTY_RULES)}"
        )
    return EMPTY_RULES[policy]


def policy_note(policy: EmptyPolicy) -> str:
    """The policy in a sentence, to stand beneath a table.

    Args:
        policy: "penalise", "skip" or "paper".

    Raises:
        ConfigError: if there is no policy of that name.

    Example:
        >>> policy_note("skip")
        'Empty masks, policy skip: both empty: left out; one empty: Dice 0, distance = diagonal of the volume.'
    """
    return f"Empty masks, policy {policy}: {empty_rule(policy).meaning}."
