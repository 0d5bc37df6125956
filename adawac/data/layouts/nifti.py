"""What layouts of image files share: how a case is read, and what channel names say of intensities."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from adawac.data.layouts.base import Case, Collection, Layout
from adawac.data.modality import Modalities, Modality, current, distinct
from adawac.data.recognition import kind_of_tag, kind_of_values
from adawac.errors import DataError, some_of
from adawac.io.dicom_slice import modality_tag
from adawac.io.images import read_image
from adawac.io.readers import reader_of
from adawac.io.volumes import Volume, as_label


class NiftiLayout(Layout):
    """A layout whose images and labels are NIfTI files or of another format that is read, see `adawac.io.images`."""

    def sound(
        self, root: Path, chosen: Callable[[Sequence[Case]], Sequence[Case]] | None = None
    ) -> tuple[Collection, tuple[str, ...]]:
        """As `Layout.sound`, with a word of folders in which other images lie."""
        found, problems = super().sound(root, chosen)
        return replace(found, passed_over=(*found.passed_over, *_other_folders(root, found))), problems

    def read_image(self, case: Case) -> Volume:
        """Read the channels of a case, see `Layout.read_image`."""
        return read_image(case.images)

    def read_label(self, case: Case) -> Volume:
        """Read the label of a case, see `Layout.read_label`."""
        return as_label(read_image(case.label), str(case.label[0]))


def modality_of(channels: Iterable[str]) -> Modalities:
    """Kinds of intensities that channel names stand for, as nnU-Net reads them.

    `CT`: Hounsfield units. `noNorm`: left alone. Anything else is normalised per volume.

    Example:
        >>> modality_of(["CT"]), modality_of(["T1", "FLAIR"]), modality_of(["CT", "noNorm"])
        ('ct', 'mr', ('ct', 'prescaled'))
    """
    named: dict[str, Modality] = {"ct": "ct", "nonorm": "prescaled"}
    return current([named.get(name.strip().lower(), "mr") for name in channels])


def recognised(layout: NiftiLayout, cases: Sequence[Case]) -> tuple[int, Modalities, str]:
    """How many channels images have, of what kind they are, and what that is known by; where no name says so.

    The first, the middle and the last image are looked at: headers of DICOM say what made them, else values do. What
    is wrong with an image is said when it is read for good.

    Args:
        layout: reads them.
        cases: of the data set.
    """
    chosen = [cases[i] for i in dict.fromkeys((0, len(cases) // 2, len(cases) - 1))] if cases else []
    found: list[list[Modality]] = []
    tags: list[str] = []
    for case in [*chosen, *(case for case in cases if case not in chosen)]:
        try:
            array = layout.read_image(case).array
        except DataError:
            continue
        tag = modality_tag(case.images[0])
        tags.append(tag)
        found.append([kind_of_tag(tag) or kind_of_values(channel) for channel in array])
        if len(found) == len(chosen):
            break
    if not found:
        return 1, "mr", "nothing, as no image could be read"
    channels = Counter(map(len, found)).most_common(1)[0][0]
    by_channel = zip(*(kinds for kinds in found if len(kinds) == channels), strict=True)
    # Of a tie CT: what is no CT hardly shows air, while a CT may be spoilt.
    kinds = [max(distinct(each), key=lambda kind: (each.count(kind), kind == "ct")) for each in by_channel]
    by = f"DICOM headers ({', '.join(sorted(set(tags)))})" if all(tags) else f"the values of {len(found)} images"
    return channels, current(kinds), by


def _other_folders(root: Path, found: Collection) -> tuple[str, ...]:
    """A line of folders beside those that are read, such as test cases that no list names."""
    if any(line.startswith(f"{root}: ") for line in found.passed_over):  # said already
        return ()
    paths = [path for case in found.cases for path in (*case.images, *case.label)]
    paths += found.unannotated
    read = {path.relative_to(root).parts[0] for path in paths if path.is_relative_to(root)}
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name not in read]
    others = [f"{path.name}/" for path in folders if not path.name.startswith(".") and _holds_images(path)]
    if not others:
        return ()
    what = f"{root}: images lie in {some_of(others)} and are not read"
    return (f"{what}; to test on such, put them among the others and name them as `test` in splits.json",)


def _holds_images(folder: Path, deeper: bool = True) -> bool:
    """Whether names of files say so, in the folder or one beneath it."""
    try:
        there = [path for path in folder.iterdir() if not path.name.startswith(".")]
        files, below = (list(filter(kind, there)) for kind in (Path.is_file, Path.is_dir))
    except OSError:  # not for us to read
        return False
    return any(map(reader_of, files)) or (deeper and any(_holds_images(path, deeper=False) for path in below))
