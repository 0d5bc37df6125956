"""What the documents say is there, and what they show is what was measured."""

import ast
import importlib.util
import inspect
import json
import re
from contextlib import suppress
from pathlib import Path
from statistics import median

import pytest
import torch
from test_layers import LAYERS

from adawac.cli import TOOLS, TRAINING, main

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"configs/RECIPE.yaml", "configs/inference.json"}
"""A placeholder; and what lies in an exported bundle."""

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
WRITTEN = [path for path in DOCUMENTS if path.parent in (ROOT, ROOT / "docs")]
"""By hand, that is, not by a report."""

COMMAND = re.compile(r"adawac ([a-z]+)\b((?:\\\n|[^`\n#|>])*)")
OPTION = re.compile(r"(?<![\w.-])(?:--?[A-Za-z]|--\d)[\w.]*(?:-[\w.]+)*")


def in_code(text: str) -> list[str]:
    """What stands in a document as code: indented and fenced blocks, and words between backticks."""
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^ {4}[^\n]*\n)+", text, re.MULTILINE)
    return [*fenced, *indented, *re.findall(r"`([^`]+)`", re.sub(r"^ {4}[^\n]*\n", "", text, flags=re.MULTILINE))]


def anchors(text: str) -> set[str]:
    """What a link may name after #: the headings, as code hosts and mkdocs write them."""
    code = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", code.sub("", text), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    for target, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", document.read_text()):
        if "://" not in target:
            path = document.parent / target if target else document
            assert path.exists(), target
            if anchor and path.name != "api.md":  # whose headings mkdocs checks
                assert anchor in anchors(path.read_text()), f"{target}#{anchor}"


@pytest.mark.parametrize(("document", "least"), [("SECURITY.md", 12), ("docs/reliability.md", 70)])
def test_what_holds_a_promise_is_there(document, least):
    """Each file of tests that is named, and each class and function in one of those of its paragraph or before."""
    named, source = (
        re.findall(r"`((?:(?:unit|integration)/[\w/]+\.py|(?:Test|test_)\w+)(?:::\w+)?)`", read(document)),
        "",
    )
    files = [name for name in named if name.endswith(".py")]
    assert len(files) >= least
    assert [name for name in files if not (ROOT / "tests" / name).is_file()] == []
    for name in named:
        if name.endswith(".py"):
            source = (ROOT / "tests" / name).read_text()
        else:
            assert re.search(rf"^ *(class|def) {name}\b", source, re.MULTILINE), name


def read(document: str) -> str:
    return (ROOT / document).read_text()


@pytest.fixture(scope="module")
def tables():
    """The script that makes the tables."""
    spec = importlib.util.spec_from_file_location("document_tables", ROOT / "scripts/document_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_those_of_the_committed_results(tables):
    for document in DOCUMENTS:
        text = document.read_text()
        assert tables.filled(text) == text, f"{document.name}: run python scripts/document_tables.py"
    shown = (ROOT / "README.md").read_text()
    assert shown.count("<!-- table: study ") == shown.count("<!-- table: ") - shown.count("<!-- table: ratios ") >= 1
    assert shown.count("<!-- table: ") == shown.count("<!-- /table -->")


def test_a_number_that_was_typed_does_not_last(tables, capsys, monkeypatch, tmp_path):
    results = {
        "reference": "pair",
        "subsets": [
            {
                "name": "full",
                "methods": [
                    {
                        "name": name,
                        "network_passes": [10],
                        "dice": [{"mean": mean, "low": -1, "high": 2, "n": 3, "runs": 2}],
                    }
                    for name, mean in (("pair", 0.5), ("mine", 0.75))
                ],
                "comparisons": {"mine": [{"difference": 0.25, "low": 0.125, "high": 0.375, "verdict": "better"}]},
            }
        ],
    }
    times = {"ratios": {"pair": [1.0, 1.0], "a b": [0.5, 0.5]}, "device": "cpu"}
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "times.json").write_text(json.dumps(times))
    document = tmp_path / "README.md"
    document.write_text(
        "Before\n<!-- table: study results.json -->\n| typed | 0.9 |\n<!-- /table -->\nbetween\n"
        "<!-- table: ratios times.json#ab times.json#nothing -->\n<!-- /table -->\nafter\n"
    )
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["document_tables.py", "--check"])
    monkeypatch.setattr(tables.filled, "__defaults__", (tmp_path,))
    assert tables.main() == 1
    assert "README.md: differs" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["document_tables.py"])
    assert tables.main() == 0
    written = document.read_text()
    assert "typed" not in written
    assert "| full | `pair` | 2 | 10 | 0.500 (0.000 to 1.000) |  |  |" in written
    assert "| full | `mine` | 2 | 10 | 0.750 (0.000 to 1.000) | +0.250 (+0.125 to +0.375) | better |" in written
    assert written.count("| a b / pair | 0.50 | 0.50 to 0.50 | cpu |") == 1
    assert [line for line in written.splitlines() if line in ("Before", "between", "after")] == [
        "Before",
        "between",
        "after",
    ]
    monkeypatch.setattr("sys.argv", ["document_tables.py", "--check"])
    assert tables.main() == 0


def test_costs_of_methods_are_their_own():
    """A method's row shows the median ratio of its step to pair's; of two names in a row the first one's."""
    ratios = json.loads((ROOT / "docs/results/benchmark_methods.json").read_text())["ratios"]
    measured = {name.replace("-", "").lower(): f"{median(values):.2f}" for name, values in ratios.items()}
    row = re.compile(r"^\| `(\w+)`[^|]*\|[^|]*\| <!-- n \w+ -->([\d.]+)<!-- /n --> \|", re.MULTILINE)
    shown = row.findall((ROOT / "docs/methods.md").read_text())
    assert {name.lower(): cost for name, cost in shown}.items() <= measured.items()
    assert {"AdaWAC", "Pair", "ERM", "GroupDRO"} <= {name for name, _ in shown}


def test_the_picture_of_the_layers_is_what_the_imports_keep_to():
    picture = re.search(r"^```text\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)[1]
    drawn = [re.split(r"  +", line.strip())[0].split() for line in picture.splitlines()]
    assert drawn == [line.split() for line in LAYERS.split(", ")][1:]


def test_no_code_is_swallowed_by_a_list():
    """An indented block right after a list belongs to its last point, and is shown as words."""
    for document in WRITTEN:
        swallowed = re.findall(r"^[-*] .*\n(?:  +\S.*\n)*\n {4}\S.*", document.read_text(), re.MULTILINE)
        assert not swallowed, f"{document.name}: {swallowed}"


def test_the_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text().split()) <= 1000
    assert max(path.stat().st_size for path in (ROOT / "docs/figures").glob("*.png")) <= 150_000


def test_every_file_a_document_names_is_there():
    for document in DOCUMENTS:
        for name in re.findall(r"(?<![\w/])(?:configs|scripts)/[\w/]+\.(?:yaml|json|py)", document.read_text()):
            assert name in ELSEWHERE or (ROOT / name).exists(), f"{document.name}: {name}"


def test_every_verb_a_document_names_is_there():
    for document in DOCUMENTS:
        for code in in_code(document.read_text()):
            for command in re.findall(r"^(?: {4})?adawac ([a-z]+)", code, re.MULTILINE):
                assert command in TRAINING | TOOLS, f"{document.name}: adawac {command}"


@pytest.fixture(scope="module")
def options():
    """The options of each command, by its help."""
    known = {}
    for command in TRAINING | TOOLS:
        with pytest.MonkeyPatch.context() as patch:
            said: list[str] = []
            patch.setattr("sys.stdout.write", said.append)
            with suppress(SystemExit):
                main([command, "--help", *["all"] * (command in TRAINING)])
        known[command] = set(OPTION.findall("".join(said)))
    known["fit"].add("--skip-bad")  # short for --data.skip_bad true
    known["study"] |= known["fit"]  # which they pass on
    known["rerun"] |= known["fit"]
    return known


def settings() -> set[str]:
    """Arguments of all classes of adawac and of its optimiser: what may follow an option that names a class."""
    names = set(inspect.signature(torch.optim.AdamW).parameters) | {"init_args"}
    for path in (ROOT / "adawac").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                names |= {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
    return names


def is_known(option: str, options: set[str], settings: set[str]) -> bool:
    """Whether it is an option, or a setting of a class that an option names."""
    if option in options:
        return True
    parent, dot, name = option.rpartition(".")
    return bool(dot) and name in settings and is_known(parent, options, settings)


def test_every_option_a_document_names_is_there(options):
    names, found = settings(), 0
    anywhere = set().union(*options.values()) | {"--version"}
    own = set().union(*(OPTION.findall(path.read_text()) for path in (ROOT / "scripts").rglob("*.py")))
    for document in WRITTEN:
        for code in in_code(document.read_text()):
            for command, rest in COMMAND.findall(code):
                for option in OPTION.findall(rest):
                    found += 1
                    assert is_known(option, options.get(command, set()), names), (
                        f"{document.name}: adawac {command} {option}"
                    )
            if code.startswith("--"):
                (option, *_) = OPTION.findall(code)
                assert is_known(option, anywhere, names) or option in own, f"{document.name}: {option}"
    assert found > 80


def test_options_that_are_not_there_would_be_found(options):
    names = settings()
    assert is_known("--data.split.fold", options["fit"], names)
    for wrong in ("--data.splits", "--data.split.foldd", "--model.help", "--resum"):
        assert not is_known(wrong, options["fit"], names)
    assert COMMAND.findall("adawac fit --config a.yaml \\\n  --nmae b  # --later") == [
        ("fit", " --config a.yaml \\\n  --nmae b  ")
    ]
