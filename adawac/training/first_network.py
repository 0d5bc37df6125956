"""The network that a training begins with, or what keeps it from one: known before a volume is read."""

import logging
from pathlib import Path
from typing import Any

import torch

from adawac.errors import ConfigError
from adawac.networks import SegmentationNetwork
from adawac.runs.checkpoint import Recipe, load_matching

log = logging.getLogger(__name__)


def first_network(recipe: Recipe, trainer: Any, seed: int, init_from: str | None) -> SegmentationNetwork:
    """Build a network, and show it an image of zeros.

    Args:
        recipe: of the network, and of what it is to be shown.
        trainer: that is going to run it.
        seed: of its weights, the same for every method, whatever ran before.
        init_from: a checkpoint, run folder or file of published weights to start from; None for none.

    Raises:
        ConfigError: the network cannot be built, does not take images of this size or cannot start from these weights;
            or the precision would keep losses and weights of slices in something else than float32.
    """
    if str(trainer.precision) in ("bf16-true", "16-true", "64-true"):
        raise ConfigError(
            f"trainer.precision is {trainer.precision}, but losses, weights and Dice are computed in float32; "
            "give bf16-mixed, 16-mixed or 32-true"
        )
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # the same weights whatever device trains
        torch.default_generator.manual_seed(seed)
        network = recipe.build_network()
    name = recipe.network.architecture.rpartition(".")[2]
    where = f"on {trainer.strategy.root_device} in {trainer.precision}"
    log.info("%s, %s; %s", name, network.summary(recipe.input_size), where)
    if init_from is not None:
        for line in load_matching(network, Path(init_from)):
            log.warning("init_from: %s", line)
    return network
