"""A trained model as one object: `adawac.load(path).predict(volume)`."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from adawac.checkpoint import Recipe, find_checkpoint, network_weights, read_checkpoint
from adawac.data.volumes import Volume
from adawac.errors import ConfigError, DataError
from adawac.inference import predict_volume
from adawac.networks import SegmentationNetwork


class Segmenter:
    """A network with everything that has to happen before and after it.

    Args:
        recipe: preprocessing, classes and network of the run.
        network: its weights loaded, in eval mode, on the device that shall predict.
    """

    def __init__(self, recipe: Recipe, network: SegmentationNetwork) -> None:
        self.recipe = recipe
        self.network = network

    def predict(self, volume: Volume, case: str = "volume", flip_left_right: bool = False) -> NDArray[np.int32]:
        """Segment a volume.

        Args:
            volume: image (C, Z, Y, X) as `adawac.data.volumes.read_nifti` returns it.
            case: its name, for errors.
            flip_left_right: average with the prediction of the mirrored slices.

        Returns:
            (Z, Y, X) label values as the training data had them on disk, on the volume's own grid.

        Raises:
            DataError: if the volume has another number of channels, or NaN or infinite voxels.
            ConfigError: if the model has no left and right to flip.
        """
        recipe, device = self.recipe, next(self.network.parameters()).device
        if flip_left_right:
            recipe.check_flip()
        channels = len(volume.array)
        if channels != recipe.in_channels:
            raise DataError(
                f"case {case}: the image has {channels} channels, but the model was trained on {recipe.in_channels}; "
                "give the same channels in the same order"
            )
        bad = int(np.count_nonzero(~np.isfinite(volume.array)))
        if bad:
            raise DataError(f"case {case}: {bad} voxels are NaN or infinite; repair the image and try again")
        slices = recipe.preprocessing.apply(volume, case)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            preds = predict_volume(
                self.network,
                torch.from_numpy(slices.image),
                slices.placement,
                recipe.unit,
                flip_left_right=flip_left_right,
                mirror_table=recipe.mirror_table,
            )
        return recipe.classes.decode(recipe.preprocessing.uncut(preds[None])[0])


def load(run: str | Path, device: str = "cpu", trust: bool = False) -> Segmenter:
    """Load a trained model; no code that a checkpoint may carry is run.

    Args:
        run: a checkpoint, or a run folder, whose best checkpoint is taken.
        device: where to predict, such as "cpu" or "cuda".
        trust: make a network whose class is neither adawac's nor MONAI's; its code runs.

    Returns:
        The model, ready to predict.

    Raises:
        ConfigError: if there is no checkpoint, or it is not one of adawac's, or its network is a stranger's and not
            trusted, or the device cannot be used.
    """
    checkpoint = read_checkpoint(find_checkpoint(Path(run)))
    recipe = Recipe.from_json(checkpoint["adawac_recipe"], trust)
    network = recipe.build_network()
    network.load_state_dict(network_weights(checkpoint))
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:  # no such device, or a torch that was built without it
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {device!r} cannot be used here ({reason}); give another, such as cpu") from error
    return Segmenter(recipe, network.eval())
