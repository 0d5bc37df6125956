"""From run folders and files to a model that predicts; several of them are one as well."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from torch import nn

from adawac.errors import AdaWACError, ConfigError, first_line, some_of
from adawac.inference.plans_together import PlansTogether, cleaned_by_all
from adawac.inference.scripted import is_scripted, read_scripted
from adawac.inference.segmenter import PathLike, Segmenter
from adawac.io.given import given_paths
from adawac.networks import Ensemble, SegmentationNetwork
from adawac.networks.untrusted import watched
from adawac.runs.checkpoint import RECIPE, Recipe, network_weights, read_checkpoint
from adawac.runs.folder import find_checkpoint


def load(run: PathLike | Sequence[PathLike], device: str = "cpu", trust: bool = False) -> Segmenter:
    """Load a trained model, or several as one; no code that a checkpoint may carry is run.

    The class probabilities of several, such as the seeds or folds of a method, are averaged: on the training grid where
    all are planned alike, else (in 2D and in 3D, say) on each image's own.

    Args:
        run: a checkpoint, or a run folder, whose best checkpoint is taken; or what `adawac export` wrote as
            TorchScript, if you trust it; or a sequence of these.
        device: where to predict, such as "cpu" or "cuda".
        trust: make a network whose class is neither adawac's nor MONAI's, or read TorchScript; its code runs.

    Returns:
        The model, ready to predict.

    Raises:
        ConfigError: if there is no checkpoint, or it is not one of adawac's, or its network's class is unknown and not
            trusted, or several are of other classes or channels, or the device cannot be used.
    """
    runs = given_paths(run, "load: run", "name a checkpoint or a run folder")
    read = [read_scripted(each, trust) if is_scripted(each) else read_model(each, trust) for each in runs]
    first, _ = read[0]
    for path, (recipe, _) in zip(runs[1:], read[1:], strict=True):
        if difference := recipe.difference(first):
            raise ConfigError(f"{path} cannot be averaged with {runs[0]}: {difference}; give runs of one task")
    plans: list[list[tuple[Recipe, nn.Module]]] = []
    for recipe, network in read:
        alike = next((plan for plan in plans if recipe.same_plan(plan[0][0])), None)
        if alike is None:
            plans.append([(recipe, network)])
        else:
            alike.append((recipe, network))
    members = [_of_one_plan(plan) for plan in plans]
    segmenter = members[0] if len(members) == 1 else PlansTogether(members, list(map(len, plans)))
    try:
        segmenter.network.to(device)
    except (RuntimeError, AssertionError) as error:  # no such device, or a torch that was built without it
        raise ConfigError(
            f"device {device!r} cannot be used here ({first_line(error)}); give another, such as cpu"
        ) from error
    return segmenter


def _of_one_plan(models: Sequence[tuple[Recipe, nn.Module]]) -> Segmenter:
    recipes, networks = zip(*models, strict=True)
    network = networks[0] if len(networks) == 1 else Ensemble(networks)
    return Segmenter(replace(recipes[0], largest_component=cleaned_by_all(recipes)), network.eval())


def read_model(run: Path, trust: bool = False) -> tuple[Recipe, SegmentationNetwork]:
    """Recipe and network of a single run, see `load`."""
    path = find_checkpoint(run)
    checkpoint = read_checkpoint(path)
    recipe = Recipe.from_json(checkpoint[RECIPE], trust)
    try:
        with nullcontext() if trust else watched():
            network = recipe.build_network()
        weights = network_weights(checkpoint)
        finite = [name for name, value in network.state_dict().items() if value.isfinite().all()]  # no mask of -inf
        network.load_state_dict(weights)
    except AdaWACError:
        raise
    except Exception as error:  # whatever torch raises for weights that are none, or of another network
        raise ConfigError(
            f"{path}: its weights are not those of the network that it names ({first_line(error)}); it is damaged, so "
            "take it from a backup or train again"
        ) from error
    if bad := [name for name in finite if not weights[name].isfinite().all()]:
        raise ConfigError(
            f"{path}: weights are NaN or infinite ({some_of(bad)}), so that it would predict nothing; take an earlier "
            "checkpoint, or train again"
        )
    return recipe, network
