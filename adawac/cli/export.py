"""`adawac export RUN --format F`: a trained network as TorchScript, ONNX or a MONAI bundle."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from adawac.errors import ConfigError, did_you_mean
from adawac.io.atomic import naming, to_disk, write_text
from adawac.io.own_code import find_in_working_folder, named
from adawac.training.suggestions import Parser

NAMES = {"torchscript": "model.ts", "onnx": "model.onnx", "monai-bundle": "monai_bundle"}
"""Formats, and what is written for each."""


def main(argv: Sequence[str]) -> int:
    """Parse the arguments and export.

    Args:
        argv: arguments after the command.
    """
    args = parser().parse_args(argv)
    if args.format not in NAMES and "." not in args.format:
        meant = did_you_mean(args.format, NAMES)
        parser().error(
            f"--format is {args.format}{meant} give one of {', '.join(NAMES)}, or module.function of your own"
        )
    if args.trust:
        find_in_working_folder()
    name = NAMES.get(args.format, args.format.rpartition(".")[2])
    target = args.output or (args.run if args.run.is_dir() else args.run.parent) / "export" / name
    export(args.run, args.format, target, args.overwrite, args.trust)
    print(f"{args.format} in {target}\nmodel card in {card_of(target)}; complete its licence before you pass it on")
    if args.format == "monai-bundle":
        print(f"it needs fire as well: pip install 'adawac[bundle]'; its command stands in {target / 'docs/README.md'}")
    return 0


def parser() -> Parser:
    """The command's options."""
    made = Parser("adawac export", description=__doc__)
    made.add_argument("run", type=Path, help="run folder (its best checkpoint is taken) or checkpoint file")
    made.add_argument(
        "--format", required=True, help=f"{', '.join(NAMES)}, or a function of yours that writes one: mine.write_it"
    )
    made.add_argument("-o", "--output", type=Path, help=f"default: {', '.join(NAMES.values())} in RUN/export")
    made.add_argument("--overwrite", action="store_true", help="replace what lies there already")
    made.add_argument("--trust", action="store_true", help="run the code of a network that is no adawac's or MONAI's")
    return made


def export(run: Path, format: str, target: Path, overwrite: bool = False, trust: bool = False) -> None:
    """Export a network, and beside it its model card; what is written appears whole or not at all.

    Args:
        run: run folder or checkpoint.
        format: a key of `NAMES`; or `module.function`, called with a `TrainedNetwork` and the path to write to.
        target: file, or folder of a bundle.
        overwrite: whether to replace it, and the card.
        trust: as for `adawac.load`.

    Raises:
        ConfigError: if `target` exists and must not be replaced, the model cannot be loaded, or its network does not
            fit the format.
    """
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists already; give another --output, or --overwrite to replace it")
    if target.is_dir() and not (format == "monai-bundle" and (target / "configs/metadata.json").is_file()):
        raise ConfigError(f"{target} is a folder, but no {format}, and is not replaced; give another --output")
    from adawac.inference.export import load_network, write_bundle, write_onnx, write_torchscript
    from adawac.report.model_card import model_card
    from adawac.runs.folder import find_checkpoint

    ours = {"torchscript": write_torchscript, "onnx": write_onnx, "monai-bundle": write_bundle}
    write = ours.get(format) or named(format, "--format")
    trained = load_network(run, trust)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        with naming(target, temporary):
            write(trained, temporary)
            if not temporary.exists():
                raise ConfigError(f"--format {format}: nothing was written to the path it was given; write {temporary}")
            to_disk(temporary)
            _remove(target)
            os.replace(temporary, target)
    finally:
        _remove(temporary)
    if overwrite or not card_of(target).exists():  # somebody may have completed it
        write_text(card_of(target), model_card(trained.recipe, find_checkpoint(run)))


def card_of(target: Path) -> Path:
    """The model card of an export: among a bundle's documents, beside a file."""
    return target / "docs/model_card.md" if target.is_dir() else target.with_name(f"{target.stem}_card.md")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
