"""What names give away: which classes are a left and a right, and which cases show one patient."""

import re
from collections import defaultdict
from collections.abc import Sequence

_OTHER_SIDE = {"left": "right", "right": "left", "lt": "rt", "rt": "lt", "l": "r", "r": "l"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+")
_SIDE = re.compile(r"^(?:left|right)|(?:left|right)$|^(?:lt|rt|l|r)$", re.IGNORECASE)
_UNPAIRED = re.compile(r"heart|cardi|atrium|atrial|coronary|liver|hepatic|(?<!lateral.)ventric", re.IGNORECASE)
"""Organs whose left and right parts are no mirror images: a mirrored left ventricle stays one."""

_PATIENTS = (
    r"^(sub-[A-Za-z0-9]+)_",  # BIDS: sub-01_ses-2
    r"^([A-Za-z]+[_-]?\d+)[_-]",  # patient031_frame01, pt_4_followup
    r"^(.*\d)[_-][^_-]+$",  # 0012_baseline
)
"""Tried in this order by `suggest_patient_pattern`."""


def side_pairs(names: Sequence[str]) -> dict[str, str]:
    """Pairs of classes whose names differ in nothing but their side.

    Sides are `left` and `right` at either end of a word, and `l`, `r`, `lt`, `rt` as words of their own; a
    capital starts a word, too. Parts of the heart and of the liver are no pairs, whatever their names.

    Args:
        names: of the classes.

    Returns:
        For the class of each pair that is named first, its partner.

    Example:
        >>> side_pairs(["left_kidney", "right_kidney", "OpticNerve_L", "OpticNerve_R", "LV", "RV"])
        {'left_kidney': 'right_kidney', 'OpticNerve_L': 'OpticNerve_R'}
    """
    by_name = {name.lower(): name for name in names}
    pairs: dict[str, str] = {}
    for name in names:
        mirrored = "".join(_SIDE.sub(_swap, word) for word in _WORDS.findall(name)).lower()
        partner = by_name.get(mirrored, name)
        if partner != name and partner not in pairs and not _UNPAIRED.search(name):
            pairs[name] = partner
    return pairs


def suggest_patient_pattern(case_ids: Sequence[str]) -> str | None:
    r"""A `patient_pattern` for ids that look like several cases a patient.

    Ids do if all have a patient's number and an ending, and the endings come back: `frame01` of one patient
    and `frame01` of another.

    Args:
        case_ids: names of the cases.

    Returns:
        A regular expression for `adawac.data.splits.patients_of`; None where every case seems a
        patient, or where fewer than three patients would be left, too few to split.

    Example:
        >>> frames = [f"patient{i:03d}_frame{j:02d}" for i in (1, 2, 3) for j in (1, 12)]
        >>> suggest_patient_pattern(frames)
        '^([A-Za-z]+[_-]?\\d+)[_-]'
        >>> suggest_patient_pattern(["pt_4", "pt_13", "pt_17", "pt_22"])
    """
    for pattern in _PATIENTS:
        matches = [re.search(pattern, case) for case in case_ids]
        endings: dict[str, set[str]] = defaultdict(set)
        for match in matches:
            if match:
                endings[match.string[match.end(1) :]].add(match[1])
        patients = {match[1] for match in matches if match}
        shared = any(len(owners) > 1 for owners in endings.values())
        if all(matches) and shared and 3 <= len(patients) < len(case_ids):
            return pattern
    return None


def _swap(side: re.Match[str]) -> str:
    return _OTHER_SIDE[side[0].lower()]
