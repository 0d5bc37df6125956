"""The transforms of a MONAI bundle that turn an image into a label file; copied there, they need no adawac."""

import json
import logging
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform

from adawac.data.preprocessing import Preprocessing
from adawac.data.unit_kinds import unit_kind
from adawac.errors import DataError
from adawac.inference.largest_component import keep_largest
from adawac.inference.volume import predict_volume
from adawac.io.volumes import read_nifti, write_label_nifti

log = logging.getLogger(__name__)

_NAMED = re.compile(r"(.+?)(?:_0000)?(\.nii(?:\.gz)?)", re.IGNORECASE)
"""A NIfTI file: its case, and its ending."""


def images_in(source: str) -> list[Path]:
    """The NIfTI files of a folder, or a single one; what else lies there is named.

    Raises:
        DataError: if there is none.
    """
    place = Path(source)
    there = [path for path in sorted(place.iterdir()) if path.name[0] != "."] if place.is_dir() else [place]
    images = [path for path in there if path.is_file() and _NAMED.fullmatch(path.name)]
    if not images:
        raise DataError(f"{place}: no NIfTI file there (.nii, .nii.gz); give a file or a folder of them")
    if left := [path.name for path in there if path not in images]:
        log.warning("%s: not read: %s", place, ", ".join(left))
    return images


def segment_all(files: Sequence[Path], steps: Sequence[Callable[[Any], Any]]) -> None:
    """Take each file through all steps; where one cannot be segmented the others are.

    Args:
        files: of images.
        steps: from a dictionary with the path of an `image` to its label on the disk.

    Raises:
        DataError: of all files that could not be segmented, in the end.
    """
    problems = []
    for path in files:
        data: Any = {"image": path}
        try:
            for step in steps:
                data = step(data)
        except Exception as error:  # of MONAI's chains, with ours behind it
            ours = error if isinstance(error, DataError) else error.__cause__
            if not isinstance(ours, DataError):
                raise
            log.error("%s", ours)
            problems.append(str(ours))
    if problems:
        raise DataError.from_problems(problems)


class LoadVolumed(Transform):
    """Reads the file that `image` names, by the rules of training: what these refuse is refused here.

    MONAI's own `LoadImage` believes any header.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read.

        Args:
            data: `image`, the path of a NIfTI file, channels last if there are several.

        Returns:
            `image` as a MetaTensor (C, Z, Y, X) whose axes point Superior, Posterior, Left, and its `geometry`.

        Raises:
            DataError: see `read_nifti`.
        """
        path = Path(data["image"])
        volume = read_nifti(path)
        for note in volume.notes:
            log.warning(note)
        affine = torch.from_numpy(volume.geometry.canonical_affine)
        image = MetaTensor(
            torch.from_numpy(volume.array.astype(np.float32)), affine=affine, meta={"filename_or_obj": str(path)}
        )
        return {**data, "image": image, "geometry": volume.geometry}


class SegmentVolumed(Transform):
    """Adds the label `pred` to a dictionary with an `image`, on the image's grid.

    Args:
        model: TorchScript file of `adawac export`, whose recipe lies in it.
        device: where the network runs, such as "cpu" or "cuda".
        batch_size: slices a forward pass.

    Raises:
        DataError: when called with an image of another number of channels, or one that breaks a rule of training.
    """

    def __init__(self, model: str, device: str = "cpu", batch_size: int = 32) -> None:
        files = {"adawac_recipe.json": ""}
        self.network = torch.jit.load(model, map_location=device, _extra_files=files)  # type: ignore[no-untyped-call]
        recipe = json.loads(files["adawac_recipe.json"])
        self.in_channels: int = recipe["in_channels"]
        self.values = np.array(recipe["classes"]["values"], dtype=np.int32)
        self.preprocessing = Preprocessing.from_json(recipe["preprocessing"])
        self.unit = unit_kind(**recipe["unit"])
        self.cleaned = [recipe["classes"]["names"].index(name) for name in recipe.get("largest_component", ())]
        self.batch_size = batch_size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Segment.

        Args:
            data: `image`, a MetaTensor (C, Z, Y, X) whose axes point Superior, Posterior, Left, as of `LoadVolumed`.

        Returns:
            The same, and `pred`, a MetaTensor (1, Z, Y, X) of label values as the training data had them on disk.
        """
        image: MetaTensor = data["image"]
        name = str(image.meta.get("filename_or_obj", "image"))
        if len(image) != self.in_channels:
            raise DataError(
                f"{name}: the image has {len(image)} channels, but the model was trained on {self.in_channels}; "
                "give the same channels in the same order"
            )
        slices = self.preprocessing.slices(image.numpy(), image.affine[:3, :3].double().numpy(), name)
        for note in slices.notes:
            log.warning("%s: %s", name, note)
        preds = predict_volume(
            self.network, torch.from_numpy(slices.image), slices.placement, self.unit, self.batch_size
        )
        labels = self.values[keep_largest(self.preprocessing.uncut(preds[None])[0], self.cleaned)[None]]
        pred = MetaTensor(torch.from_numpy(labels), meta=image.meta, applied_operations=image.applied_operations)
        return {**data, "pred": pred}


class SaveLabeld(Transform):
    """Writes `pred` under the case's name, which is the image's without nnU-Net's `_0000`, on the grid of its file.

    MONAI's own `SaveImage` resamples, or fails, where the axes of a file are turned (1.6).

    Args:
        output_dir: folder of the labels, which is made.

    Raises:
        DataError: when called with an image in that folder, which its label would replace.
    """

    def __init__(self, output_dir: str) -> None:
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Save `pred`, a MetaTensor (1, Z, Y, X), on the grid that `geometry` is."""
        source = Path(str(data["image"].meta["filename_or_obj"]))
        if source.parent.resolve() == self.output_dir.resolve():
            raise DataError(f"{source}: its label would replace it in {self.output_dir}; give another output_dir")
        name = _NAMED.sub(lambda found: f"{found[1]}{found[2].lower()}", source.name)
        write_label_nifti(self.output_dir / name, data["pred"].numpy()[0], data["geometry"])
        return dict(data)
