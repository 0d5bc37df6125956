"""A trained model as one object: `adawac.load(path).predict(volume)`."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adawac.errors import ConfigError, DataError, did_you_mean
from adawac.inference.largest_component import keep_largest
from adawac.inference.volume import probabilities_of
from adawac.io.dimensions import said_of_slices
from adawac.io.image_cases import find_images
from adawac.io.images import read_image
from adawac.io.volumes import Volume
from adawac.runs.checkpoint import Recipe

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
            image: a file (NIfTI, NRRD, MHA, MHD, MGZ) or the folder of a DICOM series; an array or tensor (Z, Y, X) or
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
            self.check_flip()
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
        image = torch.from_numpy(slices.image).half().float()  # as `test` reads it from the store
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

    def check_flip(self) -> None:
        """Refuse to average with mirrored slices where they do not show left and right, see `Recipe.check_flip`."""
        self.recipe.check_flip()

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
