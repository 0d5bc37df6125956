"""A value of the wrong kind, said in a line: jsonargparse lists every type that it tried."""

import re
from collections.abc import Sequence

from adawac.errors import did_you_mean

KEY = re.compile(r'Parser key "([^"]+)"')
EXPECTED = re.compile(r"Expected an? (.+?)\.?\s*$", re.MULTILINE)
VALUE = re.compile(
    r"(?:(?:Got|Given) value|Not of type \w+): (?!does not conform)(.+?)(?= does not conform|\. Got value: |\n|$)"
)
NO_SETTING = re.compile(r"(?:given class_path '(?:\w+\.)*(\w+)':\s+)?Option '([^']+)' is not accepted")
LEAST = re.compile(r"restriction v(>=?)(-?[\d.]+)")
NESTED = re.compile(r"NestedArg\(key='\w+', val='(.*)'\)")

SIGNS = {">": "above", ">=": "from"}
WORDS = {
    "<class 'float'>": "a number",
    "<class 'int'>": "a whole number",
    "<class 'bool'>": "true, false",
    "<class 'str'>": "text",
    "<class 'NoneType'>": "null",
    "<class 'list'>": "a list",
    "<class 'tuple'>": "a list",
    "<class 'dict'>": "a mapping",
}
"""Types as one writes them in YAML."""


def in_a_line(message: str, suggested: Sequence[str] = ()) -> str | None:
    r"""What a parser's message says of a value or a setting that it does not take; None where it is of something else.

    Args:
        message: of jsonargparse.
        suggested: lines on what may have been meant.

    Example:
        >>> in_a_line("Parser key \"size\": Expected a typing.Literal['small', 'large']. Got value: smal")
        'size is smal; did you mean small? give small or large'
    """
    if not (keys := KEY.findall(message)):
        return None
    outer, *inner = keys
    key = outer if not inner or inner[-1] == outer else f"{outer}.{inner[-1]}"
    said = message[message.rindex('Parser key "') :]
    if option := NO_SETTING.search(message):
        near = re.search(r"did you mean \S+\?", message)
        what = f"{outer}: {option[1] or 'this class'} has no setting {option[2]}"
        return f"{what}; {near[0] if near else '--help all shows those that there are'}"
    if "dot import path" in said and not inner:
        lines = [line if line[-1] in "?." else f"{line}." for line in suggested]
        return f"{key}: {' '.join(lines)}" if lines else None
    if (value := VALUE.search(said)) is None:
        return None
    given = NESTED.sub(r"\1", value[1])
    choices: list[str] = []
    words = [f"a number {SIGNS[sign]} {least}" for sign, least in LEAST.findall(said)]
    for each in EXPECTED.findall(said[: value.start()]):
        if literal := re.fullmatch(r"typing\.Literal\[(.*)\]", each):
            choices += [part.strip(" '") for part in literal[1].split(",")]
        elif length := re.fullmatch(r"tuple with (\d+) elements", each):
            words.append(f"a list of {length[1]}")
        elif each in WORDS:
            words += WORDS[each].split(", ")
    due = list(dict.fromkeys([*choices, *words]))
    if not due or "Unable to load" in said:
        return f"{key} is {given}; --help all shows what it takes" if inner else None
    if due == ["null"]:  # what else it can be is no plain value
        return None
    listed = due[0] if len(due) == 1 else f"{', '.join(due[:-1])} or {due[-1]}"
    if "text" in due and re.fullmatch(r"True|False|-?[\d.]+", given):
        listed += " (in quotes where YAML reads a number, yes or no)"
    meant = re.search(r"did you mean \S+\?", "\n".join(suggested))
    if meant and re.fullmatch(r"(\w+\.)+\w+", given):  # a class, by its path
        return f"{key} is {given}; {meant[0]}"
    return f"{key} is {given}{did_you_mean(given, choices)} give {listed}"
