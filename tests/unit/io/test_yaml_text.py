"""YAML that stands for more than anyone writes: refused in a line, wherever YAML is read, before it is unfolded."""

import signal

import pytest
import yaml

from adawac.cli import main
from adawac.errors import ConfigError
from adawac.io.yaml_text import bounded
from adawac.runs.folder import RunFolder
from adawac.study import read_study
from adawac.training.configuration import resolve


def doubled(first: str, each: str, levels: int = 60) -> str:
    lines = [f"a0: &a0 {first}", *(f"a{n}: &a{n} {each.format(n - 1)}" for n in range(1, levels))]
    return "\n".join(lines)


BOMBS = {
    "lists": doubled("[1, 1]", "[*a{0}, *a{0}]"),
    "mappings": doubled("{k: 1}", "{{k: *a{0}, l: *a{0}}}"),
    "merged": doubled("{k: 1}", "{{<<: [*a{0}, *a{0}]}}"),
    "in itself": "a: &a [*a]",
    "flow": "a: " + "[" * 10**5,
    "braces": '{"a":' * 10**5,
    "block": "- " * 10**5 + "a",
}


@pytest.fixture(autouse=True)
def at_once():
    """What is unfolded would take hours."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it is unfolded"))
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_it_is_refused_wherever_yaml_is_read(tmp_path, capsys, bomb):
    run = RunFolder(tmp_path)
    run.config_file.write_text(bomb)
    with pytest.raises(ConfigError, match=r"config.yaml: damaged \(it.* more than \d+ .*\); take it"):
        _ = run.config
    with pytest.raises(ConfigError, match=r"config.yaml: .* more than \d+ .*; write"):
        resolve(["fit", str(run.config_file)])
    with pytest.raises(ConfigError, match=r"config.yaml: cannot be read as YAML \(it.* more than"):
        read_study(run.config_file, tmp_path)
    for command in ("prepare", "fit"):
        assert main([command, str(run.config_file)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"adawac {command}: {run.config_file}: ")
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    "code", ["!!python/object/apply:pathlib.Path.touch [made]", "!!python/name:os.system ''", "!x a"]
)
def test_no_code_is_made_of_it(tmp_path, monkeypatch, capsys, code):
    monkeypatch.chdir(tmp_path)
    run = RunFolder(tmp_path)
    run.config_file.write_text(f"name: {code}\n")
    with pytest.raises(ConfigError, match=r"config.yaml: damaged \(could not determine a constructor"):
        _ = run.config
    for command in ("fit", "prepare"):
        with pytest.raises(SystemExit):
            main([command, "config.yaml"])
    assert main(["study", "config.yaml"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_usual_aliases_are_read():
    for text in ("a: &a [1, 2]\nb: *a", "a: &a {k: 1}\nb: {<<: *a, l: 2}", "", "plain", "[[[[1]]]]"):
        assert yaml.safe_load(bounded(text)) == yaml.safe_load(text)


@pytest.mark.parametrize("levels", [1, 2, 5, 14])
def test_values_are_counted_as_they_unfold(levels, monkeypatch):
    """Against counting them one by one."""

    def count(value) -> int:
        return 1 + sum(map(count, value)) if isinstance(value, list) else 1

    text = "\n, ".join(line.partition(": ")[2] for line in doubled("[1, 1]", "[*a{0}, *a{0}]", levels).splitlines())
    content = yaml.safe_load(f"[{text}]")
    monkeypatch.setattr("adawac.io.yaml_text.MOST_VALUES", count(content))
    bounded(f"[{text}]")
    monkeypatch.setattr("adawac.io.yaml_text.MOST_VALUES", count(content) - 1)
    with pytest.raises(ValueError, match="unfold"):
        bounded(f"[{text}]")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("trainer: {max_epochs: 1}\nname: a\ntrainer: {max_epochs: 3}\n", 3, "trainer"),
        ("data:\n  drop: [a]\n  size: [8, 8]\n  drop: [b]\n", 4, "drop"),
        ("[{a: 1}, {b: {c: 1, c: 2}}]", 1, "c"),
    ],
)
def test_a_key_that_comes_twice_hides_nothing(text, line, key):
    with pytest.raises(ValueError, match=f"line {line}: {key} comes twice; rename or remove one of them"):
        bounded(text)


def test_a_name_may_come_again_elsewhere():
    text = "a: {k: 1}\nb: {k: 1}\nk: [k, k, {k: k}]\nc: &c {l: k}\nd: {<<: *c, l: l}\n"
    assert yaml.safe_load(bounded(text)) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty; write settings into it, or leave it out"),
        ("\n  \n", "the file is empty; write settings into it, or leave it out"),
        ("data:\n\troot: x\n", "line 2: found character that cannot start any token; correct it"),
        ("data: {root: x\nmodel: 3\n", "line 2: "),
        ("data:\n  root: x\ndata:\n  size: [8, 8]\n", "line 3: data comes twice; rename or remove one of them"),
    ],
)
@pytest.mark.parametrize("given", [["{}"], ["--config", "{}"], ["-c={}"]], ids=lambda given: given[0])
def test_a_file_of_settings_is_named(tmp_path, given, text, said):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        resolve(["fit", *(option.format(file) for option in given)])
    assert str(error.value).startswith(f"{file}: {said}")


@pytest.mark.parametrize("written", ["010", "-017", "0_7", "12:00:00", "1:30"])
@pytest.mark.parametrize("place", ["a: {}", "a: [1, {}]", "{}: liver"])
def test_a_number_of_base_8_or_60_is_refused(written, place):
    text = place.format(written)
    with pytest.raises(ValueError, match=f"line 1: {written} is read as {yaml.safe_load(written)} in YAML"):
        bounded(text)
    assert bounded(place.format(f'"{written}"'))  # a name, or a time


@pytest.mark.parametrize(
    "written", ["0", "10", "-1", "0.10", "1e-3", "00:12:00:00", "08", "2024-01-02", "a:1", "1:75x"]
)
def test_other_numbers_and_times_are_read(written):
    assert bounded(f"a: {written}")


def test_a_number_on_the_command_line_is_taken_as_it_is_written():
    given = ["fit", "--data.root=x", "--data.batch_size=010", "--name=007"]
    values = resolve([*given, "--model.network.architecture=monai.networks.nets.UNet"]).values
    assert (values["data.batch_size"], values["name"]) == (10, "007")
