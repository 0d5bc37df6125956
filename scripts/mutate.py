"""Would the tests notice? Changes one line of the code at a time, at random, and runs the tests concerned.

    python scripts/mutate.py --count 30 --seed 0        # some minutes a mutation on one core

A mutation flips a comparison, swaps plus and minus or times and divided by, changes a number, negates a condition or
returns nothing. It is made in a temporary copy; the unit tests of the package are run first, then those of
`--rest` (such as `tests`), up to the first failure. Those that survive are printed: each is a test that is missing, or
a change that means nothing.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
MUTATED = ("metrics", "evaluation", "weighting", "runs", "data/sampling")
OPPOSITE: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
TIMEOUT = 900
"""Seconds: a mutation that makes the tests run on for ever is noticed, too."""


def mutations(tree: ast.Module) -> Iterator[tuple[int, Callable[[], None]]]:
    """Line of each possible mutation of a module, and what makes it.

    Example:
        >>> tree = ast.parse("if a < 2: b = 1")
        >>> places = list(mutations(tree))
        >>> places[0][1]()  # negates the condition
        >>> ast.unparse(tree).splitlines()[0]
        'if not a < 2:'
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            yield node.test.lineno, _set(node, "test", ast.UnaryOp(ast.Not(), node.test))
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPPOSITE:
            yield node.lineno, _set(node, "ops", [OPPOSITE[type(node.ops[0])](), *node.ops[1:]])
        elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPPOSITE and not _joins_text(node):
            yield node.lineno, _set(node, "op", OPPOSITE[type(node.op)]())
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield node.lineno, _set(node, "value", node.value + 1)
        elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            yield node.lineno, _set(node, "value", ast.Constant(None))


def _set(node: ast.AST, field: str, value: object) -> Callable[[], None]:
    return lambda: setattr(node, field, value)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _joins_text(node: ast.AST) -> bool:
    """Whether text is joined, where a minus fails at once and tells nothing of the tests."""
    return any(isinstance(part, ast.JoinedStr | ast.Constant) and not _is_number(part) for part in ast.walk(node))


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def mutants(count: int, seed: int) -> Iterator[tuple[Path, int, str]]:
    """File, line and new source of so many mutations; each line is as likely as any other that can be mutated."""
    files = [file for name in MUTATED for file in sorted(_files(ROOT / "adawac" / name))]
    places = [(file, n) for file in files for n in range(len(list(mutations(ast.parse(file.read_text())))))]
    for file, number in random.Random(seed).sample(places, count):
        tree = ast.parse(file.read_text())
        line, mutate = list(mutations(tree))[number]
        mutate()
        yield file.relative_to(ROOT), line, ast.unparse(ast.fix_missing_locations(tree))


def _files(path: Path) -> Iterator[Path]:
    yield from [path] if path.is_file() else path.rglob("*.py")


def noticed(copy: Path, tests: Sequence[str]) -> bool:
    """Whether a test fails, or runs on for ever."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    command += ["-m", "not slow and not gpu", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def _not_ours(names: Sequence[str]) -> list[str]:
    return [name for name in names if name in ("runs", "site") or name.startswith(".")]


def tests_of(file: Path) -> list[str]:
    """The module's own examples, then the unit tests of its package."""
    tests = f"tests/unit/{file.parts[1]}"
    own = f"{tests}/test_{file.stem}.py"
    return [str(file), *([own] if (ROOT / own).is_file() else []), tests]


def main() -> int:
    """Mutate, test, say what survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30, help="mutations (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="of their choice (default: 0)")
    parser.add_argument(
        "--rest", nargs="*", default=[], metavar="TESTS", help="tests for what the package's own let pass"
    )
    args = parser.parse_args()
    survived = 0
    with TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        shutil.copytree(ROOT, copy, ignore=lambda at, names: _not_ours(names) if Path(at) == ROOT else [])
        chosen = list(mutants(args.count, args.seed))  # now: the originals may be edited meanwhile
        for package in sorted({file.parts[1] for file, _, _ in chosen}):
            if noticed(copy, [f"tests/unit/{package}"]):
                sys.exit(f"tests/unit/{package} fails without any mutation; repair that first")
        for file, line, source in chosen:
            original = (copy / file).read_text()
            (copy / file).write_text(source)
            caught = noticed(copy, tests_of(file)) or (bool(args.rest) and noticed(copy, args.rest))
            (copy / file).write_text(original)
            survived += not caught
            changed = ast.unparse(ast.parse(original)).splitlines()
            new = next((b for a, b in zip(changed, source.splitlines(), strict=False) if a != b), "").strip()
            print(f"{'caught' if caught else 'SURVIVED'}  {file}:{line}  {new}", flush=True)
    print(f"{args.count - survived} of {args.count} caught")
    return 0


if __name__ == "__main__":
    sys.exit(main())
