"""The transforms of a MONAI bundle that turn an image into a label file; copied there, they need no adawac."""

import json
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform

from adawac.data.preprocessing import Preprocessing
from adawac.data.unit_kinds import unit_kind
from adawac.errors import DataError
from adawac.inference.largest_component import keep_largest
from adawac.inference.volume import predict_volume


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
            data: `image`, a MetaTensor (C, Z, Y, X) whose axes point Superior, Posterior, Left (`Orientation("SPL")`).

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
        preds = predict_volume(
            self.network, torch.from_numpy(slices.image), slices.placement, self.unit, self.batch_size
        )
        labels = self.values[keep_largest(self.preprocessing.uncut(preds[None])[0], self.cleaned)[None]]
        pred = MetaTensor(torch.from_numpy(labels), meta=image.meta, applied_operations=image.applied_operations)
        return {**data, "pred": pred}


class SaveLabeld(Transform):
    """Writes `pred` under the case's name, which is the image's without nnU-Net's `_0000`, with the header of its file.

    MONAI's own `SaveImage` resamples, or fails, where the axes of a file are turned (1.6).

    Args:
        output_dir: folder of the labels, which is made.

    Raises:
        DataError: when called with an image in that folder, which its label would replace.
    """

    def __init__(self, output_dir: str) -> None:
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Save `pred`, a MetaTensor (1, X, Y, Z) in the orientation of the file."""
        source = Path(str(data["image"].meta["filename_or_obj"]))
        if source.parent.resolve() == self.output_dir.resolve():
            raise DataError(f"{source}: its label would replace it in {self.output_dir}; give another output_dir")
        image: Any = nib.load(source)
        label = nib.Nifti1Image(data["pred"].numpy()[0].astype(np.int32), image.affine, image.header)
        label.set_data_dtype(np.int32)
        label.header.set_slope_inter(1, 0)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        nib.save(label, self.output_dir / re.sub(r"_0000(?=\.nii(\.gz)?$)", "", source.name))
        return dict(data)
