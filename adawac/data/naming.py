"""What names of classes give away: which of them are a left and a right."""

import re
from collections.abc import Sequence

_OTHER_SIDE = {"left": "right", "right": "left", "lt": "rt", "rt": "lt", "lh": "rh", "rh": "lh", "l": "r", "r": "l"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+")
_SIDE = re.compile(r"^(?:left|right)|(?:left|right)$|^(?:[lr][th]?)$", re.IGNORECASE)
_UNPAIRED = re.compile(r"heart|cardi|atrium|atrial|coronary|liver|hepatic|(?<!lateral.)ventric", re.IGNORECASE)
"""Organs whose left and right parts are no mirror images: a mirrored left ventricle stays one."""


def side_pairs(names: Sequence[str]) -> dict[str, str]:
    """Pairs of classes whose names differ in nothing but their side.

    Sides are `left` and `right` at either end of a word, and `l`, `r`, `lt`, `rt`, `lh`, `rh` as words of their own; a
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
        if mirrored != name.lower() and partner != name and partner not in pairs and not _UNPAIRED.search(name):
            pairs[name] = partner
    return pairs


def _swap(side: re.Match[str]) -> str:
    return _OTHER_SIDE[side[0].lower()]
