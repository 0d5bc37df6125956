"""Imports go one way: from each line of LAYERS to lines below it, never up, never sideways, never in a circle."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = (
    "__main__ __init__, cli, study, report training, evaluation, inference, figures runs, weighting networks, "
    "data losses augment, io metrics phantom, processes, types, errors"
)
RANK = {part: rank for rank, line in enumerate(LAYERS.split(", ")) for part in line.split()}
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.glob("adawac/**/*.py")}
MODULES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}


@cache
def imports(module: str) -> set[str]:
    """Our modules that a module imports, inside functions and for types alone, too."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):  # of a module, or of a name in one
            assert node.level == 0, f"{module} imports {node.module} by a relative name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name if name in MODULES else name.rpartition(".")[0] for name in names} & MODULES.keys() - {module}


def test_every_import_goes_down_and_none_in_a_circle():
    graph = {module: imports(module) for module in MODULES}
    part = {name: f"{name}.__init__".split(".")[1] for name in MODULES}
    up = {(a, b) for a in graph for b in graph[a] if part[a] != part[b] and RANK[part[a]] >= RANK[part[b]]}
    assert not up
    list(TopologicalSorter(graph).static_order())  # CycleError names the files of a circle


def test_the_way_through_data_is_short():
    """The longest chain of imports within adawac.data, in files."""
    depth: dict[str, int] = {}
    graph = {module: {m for m in imports(module) if m.startswith("adawac.data")} for module in MODULES}
    for module in TopologicalSorter({m: graph[m] for m in graph if m.startswith("adawac.data")}).static_order():
        depth[module] = 1 + max((depth[other] for other in graph[module]), default=0)
    assert max(depth.values()) <= 8, max(depth, key=depth.get)


def test_no_file_is_long():
    lengths = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert not {name for name, length in lengths.items() if length > 350}


def test_no_two_files_have_one_name():
    names = [path.name for path in FILES.values() if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))


def test_no_two_files_of_tests_have_one_name():
    """Alone they run, together pytest refuses them."""
    names = [path.name for path in ROOT.glob("tests/**/test_*.py")]
    assert sorted(names) == sorted(set(names))
