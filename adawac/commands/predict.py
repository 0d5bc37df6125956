"""`adawac predict RUN -i IN -o OUT`: segment NIfTI files with a checkpoint and nothing else."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from adawac.errors import DataError

ENDINGS = (".nii.gz", ".nii")


def main(argv: Sequence[str]) -> int:
    """Parse the arguments and predict.

    Args:
        argv: arguments after the verb.
    """
    parser = argparse.ArgumentParser("adawac predict", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder (its best checkpoint is taken) or checkpoint file")
    parser.add_argument("-i", "--input", type=Path, required=True, help="NIfTI file, or folder of NIfTI files")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the label files")
    parser.add_argument("--device", default=None, help="cpu, cuda, cuda:1 ...; default: CUDA if there is one")
    parser.add_argument("--flip", action="store_true", help="average with the prediction of mirrored slices")
    parser.add_argument("--overwrite", action="store_true", help="predict again what lies in OUT already")
    args = parser.parse_args(argv)
    cases = find_images(args.input)
    predict_files(args.run, cases, args.output, args.device, args.flip, args.overwrite)
    return 0


def find_images(source: Path) -> dict[str, tuple[Path, ...]]:
    """Images to segment, by case.

    Args:
        source: a NIfTI file, or a folder of them; `<case>_0000.nii.gz`, `<case>_0001.nii.gz` are channels of one case
            (nnU-Net's names).

    Returns:
        Case name and the files of its channels, in order.

    Raises:
        DataError: if there is no NIfTI file.
    """
    files = [source] if source.is_file() else sorted(p for p in source.glob("*") if p.name.endswith(ENDINGS))
    if not files or not files[0].name.endswith(ENDINGS):
        raise DataError(f"{source}: no NIfTI file there; give a .nii or .nii.gz file or a folder of them")
    cases: dict[str, list[Path]] = {}
    for file in files:
        stem = next(file.name.removesuffix(ending) for ending in ENDINGS if file.name.endswith(ending))
        case = re.sub(r"_\d{4}$", "", stem) if len(files) > 1 or stem.endswith("_0000") else stem
        cases.setdefault(case, []).append(file)
    return {case: tuple(paths) for case, paths in cases.items()}


def predict_files(
    run: Path,
    cases: dict[str, tuple[Path, ...]],
    output: Path,
    device: str | None = None,
    flip_left_right: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Segment cases, each on its own grid; one that fails is reported at the end and does not stop the others.

    Args:
        run: run folder or checkpoint.
        cases: case name and the files of its channels.
        output: folder for `<case>.nii.gz`.
        device: where to predict; None takes CUDA if there is one.
        flip_left_right: average with the prediction of mirrored slices.
        overwrite: whether to predict again what is there; otherwise it is kept, so that a stopped run goes on.

    Returns:
        The label files of all cases that are there now.

    Raises:
        DataError: all problems together, after all sound cases have been written.
    """
    import torch
    from rich.progress import track

    from adawac.data.layouts.nifti import stack_channels
    from adawac.data.volumes import read_nifti, write_label_nifti
    from adawac.segmenter import load

    segmenter = load(run, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    output.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    written: list[Path] = []
    for case, paths in track(list(cases.items()), description="Predicting"):
        target = output / f"{case}.nii.gz"
        if target.exists() and not overwrite:
            written.append(target)
            continue
        try:
            volume = stack_channels([read_nifti(path) for path in paths], [path.name for path in paths])
            labels = segmenter.predict(volume, case, flip_left_right)
            write_label_nifti(target, labels, volume.geometry)
            written.append(target)
        except DataError as error:
            message = str(error)
            problems.append(message if message.startswith("case ") else f"case {case}: {message}")
    if problems:
        raise DataError.from_problems(problems)
    print(f"{len(written)} label files in {output}")
    return written
