"""A trained model as one object: `adawac.load(path).predict(volume)`; several of them are one as well."""

import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adawac.errors import AdaWACError, ConfigError, DataError, did_you_mean, first_line, some_of
from adawac.inference.largest_component import keep_largest
from adawac.inference.scripted import is_scripted, read_scripted
from adawac.inference.volume import probabilities_of
from adawac.io.dimensions import said_of_slices
from adawac.io.image_cases import find_images
from adawac.io.images import read_image
from adawac.io.volumes import Volume
from adawac.networks import Ensemble, SegmentationNetwork
from adawac.networks.untrusted import watched
from adawac.runs.checkpoint import RECIPE, Recipe, network_weights, read_checkpoint
from adawac.runs.folder import find_checkpoint

log = logging.getLogger(__name__)

PathLike: TypeAlias = str | os.PathLike[str]
Image: TypeAlias = PathLike | Volume | NDArray[np.generic] | Tensor


class Prediction(NamedTuple):
    """What a model says of a volume, on the volume's own grid.

    Attributes:
        preds: (Z, Y, X) class indices, cleaned up.
        probabilities: (K, Z, Y, X) float16 as the network gives them, sum 1; None where they were not asked for.
        notes: what is odd about the image.
    """

    preds: NDArray[np.uint8]
    probabilities: NDArray[np.float16] | None
    notes: tuple[str, ...] = ()


class Segmenter:
    """A network, or an ensemble of them, with everything that has to happen before and after it.

    Args:
        recipe: preprocessing, classes and network of the run; of an ensemble the first member's.
        network: its weights loaded, in eval mode, on the device that shall predict.
    """

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        self.recipe = recipe
        self.network = network

    @overload
    def predict(  # type: ignore[overload-overlap]  # a name is a sequence of names, too
        self,
        image: Image,
        case: str | None = None,
        flip_left_right: bool = False,
        largest_component: str | Sequence[str] | None = None,
        *,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[np.int32]: ...

    @overload
    def predict(
        self,
        image: Sequence[Image],
        case: str | None = None,
        flip_left_right: bool = False,
        largest_component: str | Sequence[str] | None = None,
        *,
        spacing: Sequence[float] | None = None,
    ) -> list[NDArray[np.int32]]: ...

    def predict(
        self,
        image: Image | Sequence[Image],
        case: str | None = None,
        flip_left_right: bool = False,
        largest_component: str | Sequence[str] | None = None,
        *,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[np.int32] | list[NDArray[np.int32]]:
        """Segment an image, or several.

        Args:
            image: a file (NIfTI, NRRD, MHA, MHD) or the folder of a DICOM series; an array or tensor (Z, Y, X) or
                (C, Z, Y, X) whose axes point Superior, Posterior and Left; a `Volume`; or a sequence of these.
            case: its name, for errors; None takes the file's.
            flip_left_right: average with the prediction of the mirrored slices.
            largest_component: names of classes of which only the largest connected part stays; "all": of each. None:
                those of which the run chose it on its validation cases.
            spacing: (z, y, x) in mm of arrays; files know theirs.

        Returns:
            (Z, Y, X) label values as the training data had them on disk, on the image's own grid, its axes pointing
            Superior, Posterior and Left; a list of them for a sequence.

        Raises:
            DataError: if a file cannot be read, has another number of channels, or breaks a rule of training: NaN or
                infinite voxels, nothing to be seen, no Hounsfield units where the model takes them.
            ConfigError: if the model has no left and right to flip, or no class of such a name.
        """
        if isinstance(image, Sequence) and not isinstance(image, str):
            return [self.predict(each, case, flip_left_right, largest_component, spacing=spacing) for each in image]
        name, volume = _read(image, spacing, self.recipe.data.places, self.recipe.data.preprocessing.grid.spacing)
        found = self.classify(volume, case or name, flip_left_right, largest_component)
        for note in found.notes:
            log.warning("%s: %s", case or name, note)
        return self.recipe.data.classes.decode(found.preds)

    def classify(
        self,
        volume: Volume,
        case: str = "volume",
        flip_left_right: bool = False,
        largest_component: str | Sequence[str] | None = None,
        probabilities: bool = False,
    ) -> Prediction:
        """Class indices of a volume, and on demand the probabilities behind them; the rest is as for `predict`.

        Args:
            volume: image (C, Z, Y, X).
            case: its name, for errors.
            flip_left_right: average with the prediction of the mirrored slices.
            largest_component: names of classes to clean up, see `predict`; the probabilities are left as they are.
            probabilities: keep them: 2 K bytes a voxel.
        """
        recipe, device = self.recipe, next(self.network.parameters()).device
        if flip_left_right:
            recipe.check_flip()
        cleaned = self.indices(largest_component)
        channels = len(volume.array)
        if channels != recipe.data.in_channels:
            raise DataError(
                f"case {case}: the image has {channels} channels, but the model was trained on "
                f"{recipe.data.in_channels}; give the same channels in the same order, "
                + (f"as they lay in training ({', '.join(recipe.data.places)}), or " if recipe.data.places else "")
                + "called CASE_0000, CASE_0001, ..."
                + "".join(f" ({note})" for note in volume.notes)
            )
        slices = recipe.data.preprocessing.apply(volume, case)
        image = torch.from_numpy(slices.image)
        preds, kept = [], []
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            for part in probabilities_of(
                self.network,
                image,
                recipe.data.unit,
                flip_left_right=flip_left_right,
                mirror_table=recipe.data.mirror_table,
            ):
                preds.append(slices.placement.classes_to_native(part))
                if probabilities:
                    native = slices.placement.to_native(part)
                    native[:, 0] += 1 - native.sum(1)  # outside of the training grid all is background
                    kept.append(native.half().cpu().numpy())
        labels = recipe.data.preprocessing.uncut(np.concatenate(preds)[None])[0]
        return Prediction(
            keep_largest(labels, cleaned) if cleaned else labels,
            recipe.data.preprocessing.uncut(np.concatenate(kept).swapaxes(0, 1)) if probabilities else None,
            (*volume.notes, *slices.notes),
        )

    def indices(self, organs: str | Sequence[str] | None) -> list[int]:
        """Class indices of a name or several; "all" means every class but the background, None what the run chose.

        Raises:
            ConfigError: naming what is no class of the model.
        """
        if organs is None:
            return self.recipe.cleaned
        names = self.recipe.data.classes.names
        organs = [organs] if isinstance(organs, str) else list(organs)
        if organs == ["all"]:
            return list(range(1, len(names)))
        if unknown := [organ for organ in organs if organ not in names[1:]]:
            raise ConfigError(
                f"largest_component: {', '.join(unknown)} is no organ of this model{did_you_mean(unknown, names)} "
                f"choose from {', '.join(names[1:])}, or give all"
            )
        return [names.index(organ) for organ in dict.fromkeys(organs)]


def _read(
    image: Image, spacing: Sequence[float] | None, places: Sequence[str], due: tuple[float, float] | None
) -> tuple[str, Volume]:
    """Name and volume of whatever holds an image, for a model that sees pixels of a size in mm, or of any."""
    if isinstance(image, Tensor):
        image = (image.float() if image.dtype == torch.bfloat16 else image).detach().cpu().numpy()  # unknown to NumPy
    if isinstance(image, np.ndarray):
        if spacing is None and due is not None:
            raise DataError(f"an array has no spacing, and the model sees pixels of {due} mm; give spacing=(z, y, x)")
        volume = Volume.of_array(image, spacing)
        said = said_of_slices(*volume.geometry.shape)
        return "volume", replace(volume, notes=(said,) if said else ())
    if spacing is not None:
        raise ConfigError("spacing is given, but files say theirs; give it with arrays alone")
    if isinstance(image, Volume):
        return "volume", image
    if not isinstance(image, str | os.PathLike):
        raise DataError(
            f"image is a {type(image).__name__}; give its file, or an array whose axes point Superior, Posterior and "
            "Left, with its spacing"
        )
    cases = find_images(Path(image), places)
    if len(cases) > 1:
        raise DataError(f"{image} holds {len(cases)} images; name one, or several in a list")
    [(case, paths)] = cases.items()
    return case, read_image(paths)


def load(run: PathLike | Sequence[PathLike], device: str = "cpu", trust: bool = False) -> Segmenter:
    """Load a trained model, or several as one; no code that a checkpoint may carry is run.

    The class probabilities of several, such as the seeds or folds of a method, are averaged.

    Args:
        run: a checkpoint, or a run folder, whose best checkpoint is taken; or what `adawac export` wrote as
            TorchScript, if you trust it; or a sequence of these.
        device: where to predict, such as "cpu" or "cuda".
        trust: make a network whose class is neither adawac's nor MONAI's, or read TorchScript; its code runs.

    Returns:
        The model, ready to predict.

    Raises:
        ConfigError: if there is no checkpoint, or it is not one of adawac's, or its network's class is unknown and not
            trusted, or several differ in more than their networks, or the device cannot be used.
    """
    runs = [Path(each) for each in ([run] if isinstance(run, str | os.PathLike) else run)]
    if not runs:
        raise ConfigError("load: no run is given; name a checkpoint or a run folder")
    read = [read_scripted(each, trust) if is_scripted(each) else read_model(each, trust) for each in runs]
    recipes, networks = zip(*read, strict=True)
    for path, recipe in zip(runs[1:], recipes[1:], strict=True):
        if difference := recipe.difference(recipes[0]):
            raise ConfigError(
                f"{path} cannot be averaged with {runs[0]}: {difference}; give runs of one task, prepared alike"
            )
    network = networks[0] if len(networks) == 1 else Ensemble(networks)
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:  # no such device, or a torch that was built without it
        raise ConfigError(
            f"device {device!r} cannot be used here ({first_line(error)}); give another, such as cpu"
        ) from error
    chosen = [name for name in recipes[0].largest_component if all(name in each.largest_component for each in recipes)]
    return Segmenter(replace(recipes[0], largest_component=tuple(chosen)), network.eval())


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
