"""What layouts of image files share: how a case is read, and what channel names say of intensities."""

from collections.abc import Iterable

from adawac.data.layouts.base import Case, Layout
from adawac.data.modality import Modality
from adawac.io.images import read_image
from adawac.io.volumes import Volume, as_label


class NiftiLayout(Layout):
    """A layout whose images and labels are NIfTI files or of another format that is read, see `image_files`."""

    def read_image(self, case: Case) -> Volume:
        """Read the channels of a case, see `Layout.read_image`."""
        return read_image(case.images)

    def read_label(self, case: Case) -> Volume:
        """Read the label of a case, see `Layout.read_label`."""
        return as_label(read_image(case.label), str(case.label[0]))


def modality_of(channels: Iterable[str]) -> Modality:
    """Kind of intensities that channel names stand for, as nnU-Net reads them.

    All `CT`: Hounsfield units. All `noNorm`: left alone. Anything else is normalised per volume.

    Example:
        >>> modality_of(["CT"]), modality_of(["T1", "FLAIR"])
        ('ct', 'mr')
    """
    kinds = {name.lower() for name in channels}
    if kinds == {"ct"}:
        return "ct"
    return "prescaled" if kinds == {"nonorm"} else "mr"
