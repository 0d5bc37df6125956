"""Which cases show one patient, as far as their names tell.

A name gives a patient away where others share all of it but a part that says which of a patient's scans it is: a frame,
a visit, a side. A number that merely counts patients must not be taken for that, so each rule asks for evidence in all
the names together. What is found is a suggestion: whether it holds is for the user to say.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from adawac.errors import together

AUTO = "auto"
"""The `patient_pattern` of somebody who has said nothing; None says that every case is a patient of its own."""

_SEP = r"[_\-. ]"
_DATE = r"(?:(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d|\d\d[-_.]\d\d[-_.](?:19|20)\d\d)"

_NUMBER_OF_PATIENT = (
    "sub-[A-Za-z0-9]+",  # BIDS
    rf"(?:.*?{_SEP})?(?:patients?|pat|pt|subject|subj|sub|participant){_SEP}?\d+",
    r"p\d+",
    r".*?TCGA-\w\w-\w{4}",
    r".*?\d{3}_S_\d{4}",  # ADNI
)
"""Beginnings of names that say themselves whom they show."""

_SEQUENCE = (
    r"(?:t1(?:w|ce?|gd|n|in|out|dual)?|t2(?:w|f|spir)?|flair|dwi|adc|hbv|b\d{2,4}|pdw?|swi|dce|stir|water|fat|"
    r"(?:in|out|opp(?:osed)?)[_-]?phase)(?![A-Za-z0-9])"
)
"""Sequence of MR, of which a visit has several and no patient is called by."""

_VIEW = rf"(?:(?:ct|cbct|mri?|pet|sax?|lax?|[234]ch|ax|axial|cor|coronal|sag|sagittal)(?![A-Za-z0-9])|{_SEQUENCE})"
"""Modality, sequence or view of a visit."""

_TELLING = (
    rf"(?:(?:frame|fr|visit|ses|session|time|time[_-]?point|tp|day|week|wk|month|year|yr|phase|fraction|fx|slice|"
    rf"follow[_-]?up|fup?)(?:{_SEP}?d?\d+)?|"
    r"(?:baseline|bl|(?:pre|post|intra)(?:[_-]?(?:op|operative|treatment|contrast))?|before|after|initial|final|repeat|"
    r"retest|rescan|ed|es|(?:end[_-]?)?(?:diastol|systol)(?:e|ic)|inhale|exhale|insp(?:iration)?|exp(?:iration)?|prone|"
    r"supine|arterial|venous|delayed|left|right)\d?|[lr]t?)(?![A-Za-z0-9])"
)
"""Words that tell the acquisitions of one patient apart, whatever else a name holds."""

_COUNTED = (
    r"(?:scan|study|series|exam|image|img|vol|volume|acq|run|rec|rep|echo|stack|part|half|block|crop|patch|tile|piece|"
    rf"copy|aug|reader|rater|obs|mr|ct|[tvmdwy]){_SEP}?\d+(?![A-Za-z0-9])"
)
"""Words that may tell them apart, and may as well count patients."""

_COHORT = re.compile(
    r"(?:^|[^A-Za-z])(?:(?:site|cent(?:er|re)|hospital|clinic|inst|institution|cohort|scanner|vendor|machine|group|fold|"
    rf"batch|(?:data)?set|data|domain|source|region){_SEP}?\d*|(?:19|20)\d\d|{_DATE}|TCGA-\w\w)$",
    re.IGNORECASE,
)
"""Ends of what names share that are a place, a collection or a day, and no patient."""

_DATED = re.compile(rf"(?:^|\D){_DATE}$")
_DIGIT = re.compile(r"\d")

FEW, SELDOM = 10, 0.2
"""Patients that there must be at least, and the share of them with several cases, where long numbers differ."""

MOST_SHAPES = 3
"""Ways of writing a patient's number that a pattern lists one by one."""

Groups = Mapping[str, Sequence[str]]
"""What names share -> what each of them has beside it, in small letters; "" for a name that has nothing."""

Candidates = Iterator[tuple[str, Mapping[str, str]]]
"""Patterns, the plainest first, each with the patient of every name that it must find."""


def suggest_patient_pattern(case_ids: Sequence[str]) -> str | None:
    r"""A `patient_pattern` for names that look like several cases of a patient.

    Args:
        case_ids: names of the cases.

    Returns:
        A regular expression that fits every name and whose group is the patient; None where every case seems to show a
        patient of its own.

    Example:
        >>> suggest_patient_pattern(["case01_frame01", "case01_frame12", "case02_frame01"])
        '^(.+?)_frame'
        >>> suggest_patient_pattern(["0012_pre", "0012_post", "0013"])
        '^(.+?)(?:(?:_post|_pre)(?![A-Za-z])|$)'
        >>> suggest_patient_pattern(["case_01", "case_02", "siteA_001", "siteA_002", "LUNG1-001"])
    """
    names = list(dict.fromkeys(case_ids))
    for rule in (_by_sequence, *_RULES):
        for pattern, patients in rule(names):
            matches = [re.search(pattern, name) for name in names]
            if all(match and match[1] == patients[match.string] for match in matches):
                return pattern
    return None


# --- rules, the surest first ------------------------------------------------------------------------------------------


def _by_sequence(names: Sequence[str]) -> Candidates:
    """3_t2w and 3_adc, T1DUAL_3 and T2SPIR_3: of one patient, who may have further scans by what else names hold."""
    matches = _matches(rf"^((?:{_SEQUENCE}{_SEP}+)*)(.+?)((?:{_SEP}+{_SEQUENCE})*)$", names)
    visits = {name: match[2] for name, match in matches.items() if match and match[1] + match[3]}
    bare = list(dict.fromkeys(visits.values()))
    if len(visits) < len(names) or not 1 < len(bare) < len(names):
        return
    front, behind = (_any_of(match[part] for match in matches.values() if match) for part in (1, 3))
    for rule in _RULES:
        for pattern, patients in rule(bare):
            whole = f"^{front}{pattern.removeprefix('^')}".replace("$", f"{behind}$")
            yield whole, {name: patients[visit] for name, visit in visits.items()}
    yield f"^{front}(.+?){behind}$", visits


def _any_of(words: Iterable[str]) -> str:
    """A pattern of several words, as they are written; nothing where there are none."""
    distinct = sorted({_escaped(word) for word in words}, key=lambda word: (-len(word), word))
    return f"(?:{'|'.join(distinct)})" if any(distinct) else ""


def _by_number_of_patient(names: Sequence[str]) -> Candidates:
    """patient021_frame01, sub-01_ses-2, pt_4b: whatever follows, the patient is the same."""
    for number in _NUMBER_OF_PATIENT:
        found = {name: match[0] for name in names if (match := re.match(number, name, re.IGNORECASE))}
        if len(set(found.values())) < len(found):
            patients = {name: found.get(name, name) for name in names}
            shapes = _shapes(found.values())
            inner = "|".join(shapes) if len(shapes) <= MOST_SHAPES else f"(?i:{number})"
            yield f"^({inner})", patients
            yield f"^({inner}|.+)", patients


def _by_word_behind(names: Sequence[str]) -> Candidates:
    """case7_frame01, 0012-preop, A0S9V9_sa_ED: the patient is what comes before the first telling word."""
    word = rf"(?:{_SEP}{_VIEW})*(?:{_SEP}+|(?<=\d)){_TELLING}"
    known = re.compile(rf"{_SEP}?(?:{_TELLING}|{_COUNTED}|{_VIEW})", re.IGNORECASE)
    matches = _matches(rf"^(.+?)({word})(.*)$", names)
    patients = {name: match[1] if match else name for name, match in matches.items()}
    found = [match for match in matches.values() if match]
    groups = _groups(patients, {match.string: match[2] for match in found})
    numbers: dict[str, set[str]] = defaultdict(set)  # in LUNG1_pre_001 the patient comes behind
    for match in found:
        if _DIGIT.search(rest := known.sub("", match[3])):
            numbers[match[1] + match[2]].add(rest)
    if not _is_told(groups) or any(len(rests) > len(groups) for rests in numbers.values()):
        return
    words = sorted({re.sub(rf"{_SEP}?d?\d+$", "", match[2]) for match in found})
    escaped = [("" if re.match(_SEP, word) else r"(?<=\d)") + _escaped(word) for word in words]
    joined = escaped[0] if len(escaped) == 1 else f"(?:{'|'.join(escaped)})"
    for pattern in (f"^(.+?){joined}", rf"^(.+?){joined}(?![A-Za-z])", rf"^(.+?)(?:{joined}(?![A-Za-z])|$)"):
        yield pattern, patients


def _by_word_in_front(names: Sequence[str]) -> Candidates:
    """left_001, ses-1_case7, study_pre_12: the patient is what comes behind, where all begin alike."""
    matches = _matches(rf"^((?:.*?{_SEP})?)({_TELLING}{_SEP}+)(?=.*\d)(.+)$", names)
    patients = {name: match[3] if match else name for name, match in matches.items()}
    heads = {match[1] for match in matches.values() if match}
    groups = _groups(patients, {name: match[2] for name, match in matches.items() if match})
    if len(heads) == 1 and _is_told(groups):
        words = "|".join(_shapes(match[2] for match in matches.values() if match))
        yield f"^(?:{_escaped(heads.pop())}(?:{words}))?(.+)$", patients


def _by_end(names: Sequence[str]) -> Candidates:
    """0012_scan2, 7-ct, fdg_0f3d_2003-03-23, 001_2, 12b: ends that may also count patients."""
    ends = [names[0][match.start() :] for match in re.finditer(_SEP, names[0])] if len(names) > 1 else []
    tail = next((end for end in ends if all(name.endswith(end) for name in names)), "")  # such as _0000
    bare = {name: name.removesuffix(tail) for name in names}
    for end, is_plain, is_evidence in _ENDS:
        matches = _matches(rf"^(.+?)({end}){re.escape(tail)}$", names)
        if is_plain:  # 2020-01-31 ends in no number
            matches = {name: None if _DATED.search(bare[name]) else match for name, match in matches.items()}
        patients = {name: match[1] if match else bare[name] for name, match in matches.items()}
        groups = _groups(patients, {name: match[2] for name, match in matches.items() if match})
        if is_evidence(groups):
            behind = end if is_plain else f"(?:{'|'.join(_shapes(match[2] for match in matches.values() if match))})"
            yield f"^(.+?){behind}{_escaped(tail)}$", patients
            yield f"^(.+?)(?:{behind})?{_escaped(tail)}$", patients


_RULES = (_by_number_of_patient, _by_word_behind, _by_word_in_front, _by_end)

# --- evidence ---------------------------------------------------------------------------------------------------------


def _repeated(groups: Groups) -> Groups:
    return {stem: ends for stem, ends in groups.items() if len(ends) > 1}


def _is_told(groups: Groups) -> bool:
    """Of a word that says it: two patients or more, with a number each or with words that come back."""
    repeated = _repeated(groups)
    if not repeated or len(groups) < 2 or any(map(_COHORT.search, repeated)):
        return False
    if any(len(set(ends)) < 2 for ends in repeated.values()):
        return False
    most = max(map(len, repeated.values()))
    return all(map(_DIGIT.search, repeated)) or (len(repeated) > 1 and most <= len(groups))


def _is_rare(groups: Groups) -> bool:
    """Of a date: patients with a number, none of whom has more scans than there are patients."""
    repeated, others = _repeated(groups), _to_compare(groups)
    if not repeated or any(map(_COHORT.search, repeated)) or not all(map(_DIGIT.search, repeated)):
        return False
    return len(others) > 1 and max(map(len, repeated.values())) <= len(others)


def _to_compare(groups: Groups) -> Groups:
    """Those with an end; all where one patient has a name with it and one without, which no counting does."""
    with_and_without = any("" in ends for ends in _repeated(groups).values())
    return {stem: ends for stem, ends in groups.items() if any(ends) or with_and_without}


def _comes_back(groups: Groups) -> bool:
    """Of what may count patients: the same, too, and the ends of one patient's names are also another's."""
    owners = Counter(end for ends in groups.values() for end in set(ends))
    return _is_rare(groups) and any(owners[end] > 1 for ends in _repeated(groups).values() for end in ends)


def _is_short(groups: Groups) -> bool:
    """Of long numbers, which count a site's patients: shorter than the patient's own, or hardly one comes twice.

    No site has a number of five digits, nor begins to count in the millions (PI-CAI).
    """
    repeated, others = _repeated(groups), _to_compare(groups)
    digits = {len(re.split(r"\D", stem)[-1]) for stem in groups}
    studies = {len(end) - 1 for ends in groups.values() for end in ends}
    if repeated and min(digits) >= 5 and min(studies) > max(digits):
        return _is_rare(groups)
    shorter = all(len(end) - 1 < len(re.split(r"\D", stem)[-1]) for stem, ends in repeated.items() for end in ends)
    seldom = len(others) >= FEW and len(repeated) <= SELDOM * len(others)
    return (seldom and _is_rare(groups)) or (shorter and _comes_back(groups))


def _is_crossed(groups: Groups) -> bool:
    """Of any words: each comes back with another patient, and there are fewer of them than patients."""
    owners = Counter(end for ends in groups.values() for end in set(ends))
    return _is_rare(groups) and len(owners) < len(groups) and min(owners.values()) > 1


_ENDS = (
    (rf"(?:{_SEP}(?:{_COUNTED}|{_VIEW}))+", False, _comes_back),
    (rf"{_SEP}{_DATE}(?:{_SEP}{_VIEW})*", False, _is_rare),
    (r"(?<=\d)[_-]\d{1,2}", True, _comes_back),
    (r"(?<=\d)[_-]\d{3,}", True, _is_short),
    (r"(?<=\d)[_-]?[A-Ha-h]", True, _comes_back),
    (rf"(?<=\d){_SEP}[A-Za-z].*", False, _is_crossed),
)
"""Ends of names, whether a pattern takes them as they are written here, and what is evidence of them."""


# --- names ------------------------------------------------------------------------------------------------------------


def _matches(form: str, names: Iterable[str]) -> dict[str, re.Match[str] | None]:
    regex = re.compile(form, re.IGNORECASE)
    return {name: regex.search(name) for name in names}


def _groups(patients: Mapping[str, str], ends: Mapping[str, str] | None = None) -> Groups:
    return together((patient, (ends or {}).get(name, "").lower()) for name, patient in patients.items())


def _escaped(text: str) -> str:
    """As a part of a pattern, without needless backslashes."""
    return re.escape(text).replace(r"\-", "-").replace(r"\ ", " ")


def _shapes(texts: Iterable[str]) -> list[str]:
    r"""As parts of a pattern, whatever their numbers: frame01 and frame12 are frame\d+."""
    return sorted({re.sub(r"\d+", r"\\d+", _escaped(text)) for text in texts})
