"""What is wrong with a data set, all of it at once: every case read once, copies found, and what no case holds."""

from collections import defaultdict
from collections.abc import Mapping

from adawac.data.reading import Digest
from adawac.data.splits import PARTS, Split


def duplicates(digests: Mapping[str, Digest], patients: Mapping[str, str], split: Split) -> dict[str, str]:
    """Images that lie under several names: counted twice, and known from training where they are tested on.

    Cases of one patient may share an image, such as when two readers labelled it.

    Args:
        digests: of the cases that could be read.
        patients: patient of every case.
        split: where the cases lie.

    Returns:
        A line for every case whose image an earlier one has.
    """
    part = {case: name for name in PARTS for case in getattr(split, name)}
    seen: dict[str, list[str]] = defaultdict(list)
    problems = {}
    for case, digest in digests.items():
        copies = [other for other in seen[digest.image] if patients[other] != patients[case]]
        if copies:
            first = copies[0]
            where = f"{part.get(first, 'in no part')} and {part.get(case, 'in no part')}"
            problems[case] = (
                f"case {case}: its image is that of case {first}, voxel for voxel ({where}); remove one of them, or "
                "say with patient_pattern that they are of one patient"
            )
        seen[digest.image].append(case)
    return problems
