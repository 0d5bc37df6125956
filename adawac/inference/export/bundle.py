"""A run as a MONAI bundle: its network, a chain of transforms around it, and no need of this package."""

import inspect
import json
import re
import shutil
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import monai
import nibabel
import numpy as np
import scipy
import torch

from adawac.data.modality import distinct
from adawac.inference.export.network import TrainedNetwork
from adawac.inference.export.torchscript import write_torchscript
from adawac.io.templates import fill_template

TRANSFORMS = "adawac.inference.export.segment_volume"
"""Goes into the bundle's `scripts`, with all that it imports of ours: no code is written twice."""

_OURS = re.compile(r"^from (adawac\.[\w.]+) import", re.MULTILINE)

TEMPLATES = Path(__file__).parents[1] / "templates"
"""`configs/inference.json`, every key of which can be set on the command line, and `configs/logging.conf`, which MONAI
misses aloud, as they are; and the README."""

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
"""Of `configs/metadata.json`."""


def write_bundle(trained: TrainedNetwork, path: Path) -> None:
    """Write a MONAI bundle.

    Args:
        trained: network and recipe.
        path: of its folder, which is made.

    Raises:
        ConfigError: if the network cannot be traced.
    """
    for folder in ("configs", "docs", "models", "scripts"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    write_torchscript(trained, path / "models/model.ts")
    for name in ("inference.json", "logging.conf"):
        shutil.copyfile(TEMPLATES / f"bundle_{name}", path / "configs" / name)
    (path / "configs/metadata.json").write_text(json.dumps(_inert(metadata(trained)), indent=2))
    recipe = trained.recipe
    network = recipe.network.architecture.rpartition(".")[2]
    said = {"classes": ", ".join(recipe.data.classes.names[1:]), "network": network, "version": recipe.version}
    text = fill_template("adawac.inference", "bundle_readme.md.jinja", _as_text, **said)
    (path / "docs/README.md").write_text(text)
    (path / "scripts/__init__.py").write_text("")
    for name, source in scripts().items():
        (path / f"scripts/{name}.py").write_text(source)


def _as_text(value: Any) -> str:
    """Neither Markdown nor HTML."""
    return re.sub(r"([^\w\s,.()+-])", r"\\\1", str(value))


def _inert(value: Any) -> Any:
    """The same without what MONAI would run, look up or make: a blank goes before its signs, in keys as well."""
    if isinstance(value, dict):
        return {_inert(f" {key}" if str(key).startswith("_") else key): _inert(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_inert(each) for each in value]
    return f" {value}" if isinstance(value, str) and value.startswith(("$", "@", "%", "+")) else value


def scripts() -> dict[str, str]:
    """Name and source of `TRANSFORMS` and of each of our modules that it needs, importing each other from `scripts`."""
    found: dict[str, str] = {}
    waiting = [TRANSFORMS]
    while waiting:
        if (module := waiting.pop()) not in found:
            found[module] = inspect.getsource(import_module(module))
            waiting += _OURS.findall(found[module])
    return {
        _last(module): f"# Copied from adawac {version('adawac')} (Apache License 2.0).\n"
        + _OURS.sub(lambda match: f"from scripts.{_last(match[1])} import", source)
        for module, source in found.items()
    }


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def metadata(trained: TrainedNetwork) -> dict[str, Any]:
    """`configs/metadata.json` as MONAI's schema has it, with the recipe beside."""
    recipe = json.loads(trained.recipe.to_json())
    preprocessing, names = recipe["preprocessing"], recipe["classes"]["names"]
    size = preprocessing["grid"]["size"]
    unit, channels = trained.recipe.data.unit, trained.in_channels
    kinds = distinct(trained.recipe.data.preprocessing.modality)
    formats = {"ct": "hounsfield", "mr": "MR", "prescaled": "prescaled"}
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported by adawac {version('adawac')}"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {
            **{"nibabel": nibabel.__version__, "scipy": scipy.__version__, "fire": "0.7.1"},
            "zlib-ng": version("zlib-ng"),
        },
        "name": "adawac segmentation",
        "task": f"segmentation of {', '.join(names[1:])}",
        "description": f"{unit.noun[1]} of {preprocessing['axis']} volumes, brought to {size[0]} x {size[1]} pixels",
        "authors": "adawac",
        "copyright": "of whoever trained it",
        "intended_use": "research; no medical device, see docs/model_card.md",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": ", ".join(formats[kind] for kind in kinds),
                    "modality": ", ".join(kind.upper() for kind in kinds),
                    "num_channels": channels,
                    "spatial_shape": list(trained.recipe.input_size),
                    "dtype": "float32",
                    "value_range": [] if "mr" in kinds else [0, 1],
                    "is_patch_data": unit.spatial_dims == 3,
                    "channel_def": {
                        str(i): f"channel {i // unit.parts}"
                        + f", slice {i % unit.parts - unit.parts // 2:+d}" * (unit.parts > 1)
                        for i in range(channels)
                    },
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": len(names),
                    "spatial_shape": list(trained.recipe.input_size),
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": unit.spatial_dims == 3,
                    "channel_def": {str(i): name for i, name in enumerate(names)},
                }
            },
        },
        "adawac": recipe,
    }
