"""What names give away: of classes which are a left and a right, of files which are the same but for their ends."""

import re
from collections.abc import Collection, Sequence
from itertools import takewhile

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


def alike_but_for_ends(names: Collection[str], others: Collection[str]) -> tuple[str, str] | None:
    """How two lists of names begin and end, where that is all in which they differ; None if it is not.

    Example:
        >>> alike_but_for_ends(["img0001", "img0002"], ["label0001_seg", "label0002_seg"])
        ('img*', 'label*_seg')
        >>> alike_but_for_ends(["a_1", "a_2"], ["b_2", "b_3"])
    """
    if not names or not others:
        return None
    forms, cores = [], []
    for each in (names, others):
        begin = _begin(each)
        end = _begin([name[len(begin) :][::-1] for name in each])[::-1]
        forms.append(f"{begin}*{end}")
        cores.append({name[len(begin) : len(name) - len(end)] for name in each})
    return (forms[0], forms[1]) if len(names) > 1 and cores[0] == cores[1] and forms[0] != forms[1] else None


def _begin(names: Collection[str]) -> str:
    """What all names begin with, but for a part of a number."""
    pairs = zip(min(names), max(names), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)).rstrip("0123456789")


def _swap(side: re.Match[str]) -> str:
    return _OTHER_SIDE[side[0].lower()]
