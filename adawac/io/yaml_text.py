"""YAML, of which is known how much it stands for, how deep it is nested and that no key hides another of its name."""

import re

import yaml

MOST_VALUES = 100_000
"""With everything written out that aliases stand for: ten thousand times a usual configuration's."""

MOST_LEVELS = 100
"""Of what lies in each other: parsers in C go down in calls, until the process dies."""


OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)")
"""What YAML reads as a number of base 8 or 60, and nobody means."""


def bounded(text: str) -> str:
    r"""The text, if it stands for no more than anyone writes, and has each key once.

    Aliases that double with every line, and `<<` of them, cost their parser no time; what they unfold to costs all of
    it. So they are counted by the marks in the text alone, in time and memory of its length.

    Raises:
        ValueError: it unfolds to too much, is nested too deep, or a key comes twice: the last would hide the others; or
            a number is one of base 8 or 60.
        yaml.YAMLError: it is no YAML.

    Example:
        >>> bounded("a: &a [1, 2]\nb: *a")
        'a: &a [1, 2]\nb: *a'
        >>> bounded("a: &a [*a]")
        Traceback (most recent call last):
        ValueError: its aliases unfold to more than 100000 values; write them out
    """
    sizes: dict[str, int] = {}
    within: list[int] = [0]  # values of each that is open, the whole first
    anchors: list[str | None] = []
    nodes: list[list[tuple[str, int]]] = [[]]  # in each that is open: text and line
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.NodeEvent):
            line = event.start_mark.line + 1 if event.start_mark else 0
            nodes[-1].append((getattr(event, "value", "<<"), line))
        match event:
            case yaml.CollectionStartEvent(anchor=anchor):
                nodes.append([])
                anchors.append(anchor)
                within.append(1)
                if anchor is not None:
                    sizes[anchor] = MOST_VALUES  # until it is known: of one that holds itself
            case yaml.CollectionEndEvent():
                inside, keys = nodes.pop(), set[str]()
                for key, line in inside[::2] if isinstance(event, yaml.MappingEndEvent) else ():
                    if key in keys:
                        raise ValueError(f"line {line}: {key} comes twice; rename or remove one of them")
                    keys |= {key} - {"<<"}
                size = within.pop()
                if (anchor := anchors.pop()) is not None:
                    sizes[anchor] = size
                within[-1] += size
            case yaml.AliasEvent():
                within[-1] += sizes.get(str(event.anchor), 1)
            case yaml.ScalarEvent(value=value, implicit=(plain, _)):
                within[-1] += 1
                if plain and OTHER_BASE.fullmatch(value):
                    remedy = "write it without leading 0, or a name or time in quotes"
                    raise ValueError(f"line {line}: {value} is read as {yaml.safe_load(value)} in YAML; {remedy}")
        if within[-1] > MOST_VALUES:
            raise ValueError(f"its aliases unfold to more than {MOST_VALUES} values; write them out")
        if len(anchors) > MOST_LEVELS:
            raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep; write it flat")
    return text
