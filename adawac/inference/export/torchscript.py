"""A network as TorchScript: runs in Python or C++ with torch alone."""

import io
import warnings
import zipfile
from pathlib import Path

import torch

from adawac.inference.export.network import TrainedNetwork
from adawac.inference.scripted import RECIPE_FILE


def write_torchscript(trained: TrainedNetwork, path: Path) -> None:
    """Trace a network and save it with its recipe; any number of slices goes in, of the training grid's size.

    Read it back with ``extra = {"adawac_recipe.json": ""}; torch.jit.load(path, _extra_files=extra)``.

    Args:
        trained: network and recipe.
        path: of the file.

    Raises:
        ConfigError: if the traced network does not answer as the network does.
    """
    with warnings.catch_warnings():
        # Sizes are fixed but for the number of slices, which is checked below; and torch recommends its successor.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", DeprecationWarning)
        with torch.no_grad():
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                trained.network, trained.example(2), check_trace=False
            )
        trained.check(traced, "TorchScript")
        whole = io.BytesIO()
        torch.jit.save(traced, whole, _extra_files={RECIPE_FILE: trained.recipe.to_json()})
    # Without where in whose files each line of code stands.
    with zipfile.ZipFile(whole) as saved, zipfile.ZipFile(path, "w") as archive:
        for entry in saved.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                archive.writestr(entry.filename, saved.read(entry))
