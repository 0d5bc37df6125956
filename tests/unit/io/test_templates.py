"""What stands in a template is code or markup; what is filled in never is."""

import fnmatch
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import jinja2
import pytest
import yaml

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = pytest.importorskip("tomli")

import adawac
from adawac.cli.starting_config import render_config, render_study
from adawac.data.fingerprint import ClassFacts, Fingerprint, Percentiles, Spread
from adawac.data.splits import Split
from adawac.io.templates import fill_template
from adawac.report.blocks import Block, Document, Finding, Picture, Section, Table
from adawac.report.html import render
from adawac.training.plan import make_plan

EVIL = "<script>alert(1)</script> \"d\" 'e' & {{ 7 * 7 }} {% raw %} {# c #} </code></td>"
NAMES = [
    EVIL, "yes", "1e3", "null", "~", "- a", "a: b", "# no comment", "'", '"', "two\nlines: 1", "{a: 1}", "&a", "é 肝",
    " ", "\t", "*x", "\u2028x: 1",
]  # fmt: skip
KNOWN = {
    "verdict": "better",
    "kind": "svg",
    "content": b"<svg/>",
    "header": (EVIL, EVIL),
    "lines": ((EVIL, EVIL),),
    "words": True,
}


class Texts(HTMLParser):
    """Names of the elements, their text, and the values of their attributes."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.values = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("kind", get_args(Block))
def test_every_kind_of_block_shows_every_text_as_text(kind):
    block = kind(**{field.name: KNOWN.get(field.name, EVIL) for field in fields(kind)})
    page = Texts(render(Document(EVIL, EVIL, (Section(EVIL, (block,), EVIL),))))
    frame = Texts(render(Document(EVIL, EVIL, (Section(EVIL, (), EVIL),))))
    assert "script" not in page.elements
    shown = {Table: 5, Picture: 2, Finding: 2}.get(kind, 1)  # header, line and note; alt and caption; title and text
    assert (page.text + "".join(page.values)).count(EVIL) - (frame.text + "".join(frame.values)).count(
        EVIL
    ) == shown + (
        kind is Table  # which is called after its first column
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_holds_names_as_they_are(name, tmp_path):
    pairs = {f"left {name}": f"right {name}"}
    facts = Fingerprint(
        *(3, 40, (name,), "ct", (ClassFacts(name, 3, 4, 5, (0.0, 1.0)),)),
        *[Spread(*[sides] * 3) for sides in ((9.0, 90.0, 120.0), (5.0, 1.0, 1.0), (9.0, 80.0, 80.0))],
        (Percentiles(0, 1, 2),),
        *(0.5, (0.5, 0.5, 0.5), 0, (-100, 200), pairs),
    )
    root, layout = tmp_path / name, {"class_path": "Mine", "init_args": {"ending": name}}
    text = render_config(root, name, layout, name, Split((name,), (), ()), facts, make_plan(facts, 2.0), 1)
    config = yaml.safe_load(text)
    assert config["name"] == name
    assert config["data"]["root"] == str(root)
    assert config["data"]["layout"] == layout
    assert config["data"]["patient_pattern"] == name
    assert config["data"]["mirror_pairs"] == pairs
    assert set(config) == {"name", "seed_everything", "trainer", "data", "model"}
    study = yaml.safe_load(render_study(name, f"{name}.yaml"))
    assert study["config"] == f"{name}.yaml"
    assert set(study) == {"name", "config", "grid"}


@pytest.mark.parametrize("dense", ["71", "below 1"])
def test_comments_show_values_without_the_quotes_that_keys_need(dense, monkeypatch):
    """A text that YAML must quote, as 71 and no would be a number and a truth, is one that a comment must not."""
    quoted = []

    def quote(value):
        quoted.append(value)
        return f"<{value}>" if isinstance(value, str) else str(value)

    monkeypatch.setattr("adawac.cli.starting_config._yaml", quote)
    facts = Fingerprint(
        *(3, 40, ("a",), "ct", (ClassFacts("no", 3, 4, 5, (0.0, 1.0)),)),
        *[Spread(*[sides] * 3) for sides in ((9.0, 90.0, 120.0), (5.0, 1.0, 1.0), (9.0, 80.0, 80.0))],
        (Percentiles(0, 1, 2),),
        *({"71": 0.71, "below 1": 0.004}[dense], (0.5, 0.5, 0.5), 7, (-100, 200), {}),
    )
    given = [
        (num_bad, ignore, files) for num_bad in (None, 2) for ignore in (None, 9) for files in ((), (Path("x/y"),))
    ]
    for more in given:
        split = Split(("a",), (), ("b",))
        text = render_config(Path("r"), "no", "MSD", "auto", split, facts, make_plan(facts, 2.0), *more)
        for written in (text, render_study("no", "1.yaml", 5, True)):
            for line in written.splitlines():
                assert "<" not in line.partition("#")[2], line
        assert f"7 of them wholly ignored, {dense} % of the others label-dense." in text
    assert quoted


@pytest.mark.parametrize("quote", [None, yaml.safe_dump, repr])
def test_what_is_not_given_is_an_error_and_no_gap(quote):
    with pytest.raises(jinja2.UndefinedError, match="'study' is undefined"):
        fill_template("adawac.cli", "study.yaml.jinja", quote, name="a", config="b")


def test_a_wheel_holds_all_files():
    package = Path(adawac.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["adawac"]
    data = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert len(data) > 10
    assert [path for path in data if not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)] == []
