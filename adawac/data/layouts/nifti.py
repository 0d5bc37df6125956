"""What layouts of image files share: how a case is read, and what channel names say of intensities."""

from collections import Counter
from collections.abc import Iterable, Sequence

from adawac.data.layouts.base import Case, Layout
from adawac.data.modality import Modalities, Modality, current, distinct
from adawac.data.recognition import kind_of_tag, kind_of_values
from adawac.errors import DataError
from adawac.io.dicom import modality_tag
from adawac.io.images import read_image
from adawac.io.volumes import Volume, as_label


class NiftiLayout(Layout):
    """A layout whose images and labels are NIfTI files or of another format that is read, see `adawac.io.images`."""

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
