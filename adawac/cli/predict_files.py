"""Files in, label files out: what `adawac predict` and `Run.predict` do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from adawac.data.split import Split
from adawac.errors import ConfigError, DataError, counted, of_case, printable, some_of
from adawac.errors.problems import grouped
from adawac.figures import three_views
from adawac.inference.load_runs import load
from adawac.inference.prediction_folder import LABEL, OF_IMAGE, PICTURE, PROBABILITIES, PredictionFolder, recorded
from adawac.inference.prefetch import prefetched
from adawac.inference.segmenter import Prediction, Segmenter
from adawac.io.atomic import atomic_write
from adawac.io.hashing import short_hash
from adawac.io.image_cases import scan_images
from adawac.io.images import files_of, read_image
from adawac.io.terminal import bar
from adawac.io.volumes import Volume, write_label_nifti, write_probabilities_nifti
from adawac.processes.cluster import Each, outcome_of
from adawac.runs.folder import find_checkpoint, run_of_checkpoint


def predict_files(
    runs: Sequence[Path],
    sources: Sequence[Path],
    output: Path,
    *,
    device: str | None = None,
    flip_left_right: bool = False,
    largest_component: Sequence[str] | None = None,
    probabilities: bool = False,
    pictures: bool = False,
    overwrite: bool = False,
    trust: bool = False,
    each: Each | None = None,
) -> list[Path]:
    """Segment images, each on its own grid; one that fails is reported at the end and does not stop the others.

    Args:
        runs: run folders or checkpoints, at least one; the probabilities of several are averaged.
        sources: image files, folders of them or patterns, see `scan_images`.
        output: folder for `<case>.nii.gz`, and `predictions.json` that says what made them.
        device: where to predict; None takes CUDA if there is one.
        flip_left_right: average with the prediction of mirrored slices.
        largest_component: classes of which only the largest connected part is kept; ["all"]: each; None: those of which
            the runs chose it on their validation cases.
        probabilities: write `<case>_probabilities.nii.gz`, (X, Y, Z, K) float32 of half precision.
        pictures: write `<case>.png`.
        overwrite: whether to predict again what is there; otherwise it is kept, so that a stopped run goes on.
        trust: make a network whose class is neither adawac's nor MONAI's; its code runs.
        each: where to predict, see `adawac.processes.cluster`; None: here, and the next image is read meanwhile.

    Returns:
        The label files of all cases that are there now.

    Raises:
        ConfigError: if `output` cannot be the folder of the labels or holds those of another model or other settings,
            or the models cannot be loaded or averaged.
        DataError: all problems together, after all cases without a problem have been written.
    """
    output = output.expanduser()
    models = _models(runs)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    segmenter = load(runs, device if each is None else "cpu", trust)
    cases, left_out = _cases(sources, segmenter.recipe.data.places)
    _check_output(output, cases)
    if flip_left_right:
        segmenter.check_flip()
    elif mirrored := [_place(path) for path in models.values() if _is_tested_mirrored(path)]:
        print(
            f"note: {some_of(mirrored)}: `test` averages with mirrored slices (model.flip_left_right); --flip does so"
        )
    classes = segmenter.recipe.data.classes.names
    settings = {
        "flip": flip_left_right,
        "largest_component": [classes[index] for index in sorted(segmenter.indices(largest_component))],
        "precision": "bfloat16" if torch.device(device).type == "cuda" else "float32",
    }
    folder = PredictionFolder(output, [LABEL, *[PROBABILITIES] * probabilities, *[PICTURE] * pictures])
    data = segmenter.recipe.data.classes
    meant = {str(value): data.names[index] for value, index in data.indices if index < len(data.names)}
    places = {hash_: _place(path) for hash_, path in models.items()}
    where: dict[str, Any] = {"checkpoints": places, "classes": meant}
    splits = [_split(path) for path in models.values()]
    for part, did in (("train", "trained_on"), ("val", "chosen_on")):
        known = sorted(set(cases) & {case for split in splits for case in getattr(split, part, ())})
        where[did] = sorted({*known, *map(str, recorded(output).get(did, ()))})
        if known:
            print(
                f"note: the model was {did.replace('_', ' ')} cases of the same names ({some_of(known)}; "
                f"{len(known)} of {len(cases)}): of others these labels say little"
            )
    folder.claim(cases, {"models": sorted(models), "settings": settings}, overwrite, where)
    due = folder.due({case: [file for path in paths for file in files_of(path)] for case, paths in cases.items()})
    if kept := len(cases) - len(due):
        print(f"{kept} of {len(cases)} cases are finished in {output} and kept; --overwrite predicts them again")
    problems: dict[str, str] = {}
    notes: dict[str, Sequence[str]] = {}

    def segment(case: str, volume: Volume, segmenter: Segmenter) -> Sequence[str]:
        prediction = segmenter.classify(volume, case, flip_left_right, largest_component, probabilities)
        folder.check()
        _write(folder, case, cases[case], volume, prediction, segmenter)
        return prediction.notes

    def elsewhere(case: str) -> Sequence[str]:
        return segment(case, read_image(cases[case]), _loaded(tuple(runs), device, trust))

    def reading_ahead() -> Iterator[tuple[str, Future[Sequence[str]]]]:
        for case, reading in prefetched(due, lambda case: read_image(cases[case])):
            yield case, outcome_of(lambda: segment(case, reading.result(), segmenter))  # noqa: B023  # called at once

    done = reading_ahead() if each is None else each(elsewhere, due)
    for case, outcome in bar("Predicting")(done, len(due)):
        try:
            notes[case] = outcome.result()
        except DataError as error:
            problems[case] = of_case(case, error)
    print(f"{counted(len(cases) - len(problems), 'label file')} in {output}")
    for note in grouped([f"case {case}: {note}" for case in due for note in notes.get(case, ())]):
        print(f"note: {printable(note)}")
    if problems or left_out:
        raise DataError.from_problems([*problems.values(), *left_out])
    return [folder.file(case) for case in cases]


def _cases(sources: Sequence[Path], places: Sequence[str]) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """Cases and their channels; and the problems of those that are left out, where there are others."""
    cases: dict[str, tuple[Path, ...]] = {}
    left_out: list[str] = []
    for source in sources:
        found, problems, beside = scan_images(source, places)
        left_out += problems
        if beside:
            print(f"note: {printable(beside)}")
        for case, paths in found.items():
            if cases.setdefault(case, paths) != paths:
                raise ConfigError(f"{paths[0]} and {cases[case][0]} are both called {case}; predict one at a time")
    if not cases:
        raise DataError.from_problems(left_out)
    return cases, left_out


@lru_cache(maxsize=1)
def _loaded(runs: tuple[Path, ...], device: str, trust: bool) -> Segmenter:
    """Loaded once in each process of a cluster."""
    return load(runs, device, trust)


def _models(runs: Sequence[Path]) -> dict[str, Path]:
    """Checkpoints by the hash of their content."""
    models: dict[str, Path] = {}
    for path in map(find_checkpoint, runs):
        known = models.setdefault(short_hash([path]), path)
        if known is not path:
            raise ConfigError(f"{path} and {known} are one model, which would count twice; give each model once")
    return models


def _is_tested_mirrored(checkpoint: Path) -> bool:
    """Whether the numbers of a run are of predictions that are averaged with those of mirrored slices."""
    try:
        return bool(run_of_checkpoint(checkpoint).setting("model", "flip_left_right"))
    except ConfigError:  # of its configuration, which is not needed to predict
        return False


def _split(checkpoint: Path) -> Split | None:
    """Names of a run's cases to train and to validate; None of a checkpoint that lies in no run's folder."""
    try:
        return run_of_checkpoint(checkpoint).split
    except ConfigError as error:  # which is not needed to predict
        print(f"note: which cases the model was trained on is not known: {printable(str(error))}")
        return None


def _place(checkpoint: Path) -> str:
    """NAME/version_K/checkpoints/best.ckpt of one in a run's folder, else its name: no place on this machine."""
    *_, experiment, version, folder, name = ("", "", "", *checkpoint.resolve().parts)
    return "/".join((experiment, version, folder, name)) if version.startswith("version_") else name


def _write(
    folder: PredictionFolder,
    case: str,
    paths: Iterable[Path],
    volume: Volume,
    prediction: Prediction,
    segmenter: Segmenter,
) -> None:
    """Write what is to be made of a case; its label last, which says that it is finished."""
    if prediction.probabilities is not None:
        write_probabilities_nifti(folder.file(case, PROBABILITIES), prediction.probabilities, volume.geometry)
    if PICTURE in folder.endings:
        classes, spacing = segmenter.recipe.data.classes, volume.geometry.spacing or (1.0, 1.0, 1.0)
        image = segmenter.recipe.data.preprocessing.intensities(volume.array[:1].astype("float32"))[0]
        with atomic_write(folder.file(case, PICTURE)) as unfinished:
            three_views(image, prediction.preds, classes.names, spacing, case).savefig(unfinished, format="png")
    labels = segmenter.recipe.data.classes.decode(prediction.preds)
    image = short_hash(file for path in paths for file in files_of(path))
    write_label_nifti(folder.file(case), labels, volume.geometry, f"{OF_IMAGE}{image}")


def _check_output(output: Path, cases: Mapping[str, tuple[Path, ...]]) -> None:
    """Refuse a file in place of a folder, and a folder of the images, where labels would take their names."""
    if output.name.endswith((".nii", ".nii.gz")) or (output.exists() and not output.is_dir()):
        raise ConfigError(f"--output {output} is a file; give a folder: labels are named after their images")
    images = [path.resolve() for paths in cases.values() for path in paths]
    if any(output.resolve() in (path, path.parent) for path in images):
        raise ConfigError(f"--output {output} holds the images, which labels would replace; give another folder")
