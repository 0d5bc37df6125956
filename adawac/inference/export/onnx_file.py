"""A network as ONNX: runs wherever ONNX runtime does."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adawac.errors import ConfigError, first_line
from adawac.inference.export.network import TrainedNetwork

RECIPE_KEY = "adawac_recipe"
"""Name of the recipe among the model's metadata_props."""


def write_onnx(trained: TrainedNetwork, path: Path) -> None:
    """Save a network as one ONNX file, input `image` and output `logits`, its recipe in the metadata.

    Any number of slices goes in, of the training grid's size.

    Args:
        trained: network and recipe.
        path: of the file.

    Raises:
        ConfigError: if the packages of the extra `onnx` are missing, or the network cannot be exported, or
            ONNX runtime does not answer as the network does.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise ConfigError(f"--format onnx needs {error.name}; pip install 'adawac[onnx]'") from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter about its own parts
        try:
            program = torch.onnx.export(
                trained.network,
                (trained.example(2),),
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("slices")},),
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # whatever the exporter may raise
            raise ConfigError(
                f"network {trained.recipe.network.architecture} cannot be exported to ONNX: "
                f"{first_line(error)}; choose --format torchscript"
            ) from error
    assert program is not None  # by dynamo=True
    parts: list[Any] = [program.model.graph, *program.model.functions.values()]
    for part in parts:
        for node in part.all_nodes():
            node.metadata_props.clear()  # where in whose files each line of code stands
    program.model.metadata_props[RECIPE_KEY] = trained.recipe.to_json()
    program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        (logits,) = session.run(["logits"], {"image": image.numpy()})
        return torch.from_numpy(logits)

    trained.check(run, "ONNX")
