"""`adawac predict RUN -i IN -o OUT`: segment NIfTI files with a checkpoint and nothing else."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from adawac.errors import ConfigError, DataError


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
    parser.add_argument("--trust", action="store_true", help="run the code of a network that is no adawac's or MONAI's")
    args = parser.parse_args(argv)
    cases = find_images(args.input)
    predict_files(args.run, cases, args.output, args.device, args.flip, args.overwrite, args.trust)
    return 0


def find_images(source: Path) -> dict[str, tuple[Path, ...]]:
    """Images to segment, by case.

    Args:
        source: a NIfTI file, or a folder of them; `<case>_0000.nii.gz`, `<case>_0001.nii.gz` are channels of one case
            (nnU-Net's names). Without a `<case>_0000` four digits at the end are part of the name.

    Returns:
        Case name and the files of its channels, in order.

    Raises:
        DataError: if there is no NIfTI file, two files have one name, or a channel is missing.
    """
    from adawac.data.layouts.nifti import NIFTI, list_nifti, stem

    files = list_nifti(source) if source.is_dir() else [source] * source.is_file()
    if not files or not files[0].name.endswith(NIFTI):
        raise DataError(f"{source}: no NIfTI file there; give a .nii or .nii.gz file or a folder of them")
    firsts = {stem(file).removesuffix("_0000") for file in files if stem(file).endswith("_0000")}
    cases: dict[str, dict[int, Path]] = {}
    problems: list[str] = []
    for file in files:
        case, channel = stem(file), 0
        if (match := re.fullmatch(r"(.+)_(\d{4})", case)) and match[1] in firsts:
            case, channel = match[1], int(match[2])
        known = cases.setdefault(case, {}).setdefault(channel, file)
        if known is not file:
            problems.append(f"case {case}: {known.name} and {file.name} are the same image; keep one of them")
    for case, channels in cases.items():
        if missing := sorted(set(range(max(channels))) - channels.keys()):
            problems.append(f"case {case}: channel {case}_{missing[0]:04d} is missing; add its file")
    if problems:
        raise DataError.from_problems(problems)
    return {case: tuple(path for _, path in sorted(channels.items())) for case, channels in cases.items()}


def predict_files(
    run: Path,
    cases: dict[str, tuple[Path, ...]],
    output: Path,
    device: str | None = None,
    flip_left_right: bool = False,
    overwrite: bool = False,
    trust: bool = False,
) -> list[Path]:
    """Segment cases, each on its own grid; one that fails is reported at the end and does not stop the others.

    Args:
        run: run folder or checkpoint.
        cases: case name and the files of its channels.
        output: folder for `<case>.nii.gz`.
        device: where to predict; None takes CUDA if there is one.
        flip_left_right: average with the prediction of mirrored slices.
        overwrite: whether to predict again what is there; otherwise it is kept, so that a stopped run goes on.
        trust: make a network whose class is neither adawac's nor MONAI's; its code runs.

    Returns:
        The label files of all cases that are there now.

    Raises:
        ConfigError: if `output` cannot be the folder of the labels, or the model cannot be loaded.
        DataError: all problems together, after all sound cases have been written.
    """
    import torch
    from rich.progress import track

    from adawac.data.layouts.nifti import stack_channels
    from adawac.data.volumes import Volume, read_nifti, write_label_nifti
    from adawac.prefetch import prefetched
    from adawac.segmenter import load

    _check_output(output, cases)
    segmenter = load(run, device or ("cuda" if torch.cuda.is_available() else "cpu"), trust)
    output.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    targets = {case: output / f"{case}.nii.gz" for case in cases}
    due = [case for case, target in targets.items() if overwrite or not target.exists()]
    written = set(targets) - set(due)

    def read(case: str) -> Volume:
        return stack_channels([read_nifti(path) for path in cases[case]], [path.name for path in cases[case]])

    for case, reading in track(prefetched(due, read), total=len(due), description="Predicting"):
        try:
            volume = reading.result()
            labels = segmenter.predict(volume, case, flip_left_right)
            write_label_nifti(targets[case], labels, volume.geometry)
            written.add(case)
        except DataError as error:
            message = str(error)
            problems.append(message if message.startswith("case ") else f"case {case}: {message}")
    print(f"{len(written)} label files in {output}")
    if problems:
        raise DataError.from_problems(problems)
    return [target for case, target in targets.items() if case in written]


def _check_output(output: Path, cases: dict[str, tuple[Path, ...]]) -> None:
    """Refuse a file in place of a folder, and the images' own folder, where labels would take their names."""
    if output.name.endswith((".nii", ".nii.gz")) or (output.exists() and not output.is_dir()):
        raise ConfigError(f"--output {output} is a file; give a folder: labels are named after their images")
    if any(path.parent.resolve() == output.resolve() for paths in cases.values() for path in paths):
        raise ConfigError(f"--output {output} holds the images, which labels would replace; give another folder")
