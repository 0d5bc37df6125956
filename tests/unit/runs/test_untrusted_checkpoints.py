"""Checkpoints of strangers, and damaged ones: nothing is fetched, run or guessed for them; no tracebacks."""

import dataclasses
import json
import logging
import os
import resource
import socket
import subprocess
import zipfile
from contextlib import suppress
from functools import wraps
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks import nets

from adawac.data.classes import Classes
from adawac.data.facts import DataFacts
from adawac.data.grid import Grid
from adawac.data.preprocessing import Preprocessing
from adawac.errors import AdaWACError, ConfigError
from adawac.inference.export import load_network
from adawac.inference.load_runs import load
from adawac.networks import NetworkSpec
from adawac.runs.atomic_checkpoint import newest_whole
from adawac.runs.checkpoint import Recipe, read_checkpoint
from adawac.runs.folder import RunFolder

RECIPE = Recipe(
    NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]}),
    DataFacts(1, Classes.from_labels({1: "a", 2: "b"}), (0, 2, 1), Preprocessing("ct", grid=Grid((16, 16)))),
)
FLEXIBLE = {"backbone": "efficientnet-b0", "pretrained": True}


def save(path: Path, recipe: Recipe | dict | str = RECIPE, change=lambda state: state) -> Path:
    weights = {f"network.{name}": value for name, value in RECIPE.build_network().state_dict().items()}
    text = recipe if isinstance(recipe, str) else json.dumps(recipe) if isinstance(recipe, dict) else recipe.to_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": change(weights), "adawac_recipe": text, "global_step": 3, "optimizer_states": [{}]}, path)
    return path


def plain(**changes) -> dict:
    made = json.loads(RECIPE.to_json())
    for key, value in changes.items():
        place = made
        *outer, last = key.split("__")
        for name in outer:
            place = place[name]
        place[last] = value
    return made


@pytest.fixture
def no_network(monkeypatch):
    """Fails where a connection is as much as tried."""
    tried = []
    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, lambda *args, **_: tried.append(args) or (_ for _ in ()).throw(OSError("no")))
    yield
    assert not tried


class TestNetworks:
    @pytest.mark.parametrize("arguments", [FLEXIBLE, {"backbone": "efficientnet-b0"}])
    def test_weights_are_those_of_the_checkpoint(self, tmp_path, no_network, arguments):
        off = NetworkSpec("monai.networks.nets.FlexibleUNet", {**arguments, "pretrained": False})
        state = (
            dataclasses.replace(RECIPE, network=off, data=dataclasses.replace(RECIPE.data)).build_network().state_dict()
        )
        recipe = plain(network__architecture="monai.networks.nets.FlexibleUNet", network__arguments=arguments)
        recipe["preprocessing"]["grid"]["size"] = [32, 32]
        path = save(tmp_path / "a.ckpt", recipe, lambda _: {f"network.{name}": value for name, value in state.items()})
        for run in (load, load_network):
            network = run(path).network
            assert sum(value.numel() for value in network.state_dict().values()) > 10**6

    @pytest.mark.parametrize(
        ("architecture", "arguments"),
        [
            ("monai.networks.nets.EfficientNetBN", {"model_name": "efficientnet-b0"}),  # fetches by default
            ("monai.networks.nets.DenseNet121", {"pretrained": True}),
            ("monai.networks.nets.FlexibleUNet", {"backbone": "resnet18", "pretrained": 1}),
            ("monai.networks.nets.FlexibleUNet", {"backbone": "efficientnet-b0", "pretrained": "yes"}),
        ],
    )
    def test_nothing_is_fetched(self, tmp_path, no_network, architecture, arguments):
        path = save(tmp_path / "a.ckpt", plain(network__architecture=architecture, network__arguments=arguments))
        with pytest.raises(ConfigError, match=r"; |--trust"):
            load(path)

    @pytest.mark.parametrize(
        "deed",
        [
            lambda folder: socket.create_connection(("127.0.0.1", 9), timeout=1),
            lambda folder: socket.getaddrinfo("localhost", 9),
            lambda folder: subprocess.run(["touch", folder / "made"], check=False),
            lambda folder: os.system(f"touch {folder}/made"),
            lambda folder: (folder / "made").write_text("a"),
            lambda folder: (folder / "made").touch(),
        ],
    )
    def test_whatever_a_constructor_tries(self, tmp_path, monkeypatch, deed):
        class Curious(nets.UNet):
            @wraps(nets.UNet.__init__)
            def __init__(self, *args, **more):
                with suppress(Exception):  # as downloads do that try again
                    deed(tmp_path)
                super().__init__(*args, **more)

        path = save(tmp_path / "a.ckpt")
        monkeypatch.setattr(nets, "UNet", Curious)
        with pytest.raises(ConfigError, match=r"wants more than to be made .*; if you trust who wrote it.*--trust"):
            load(path)
        assert not (tmp_path / "made").exists()

    def test_whatever_it_tries_when_it_is_made_once_more(self, tmp_path, monkeypatch):
        """As `export` does, for a network without hooks."""
        made = []

        class Patient(nets.UNet):
            @wraps(nets.UNet.__init__)
            def __init__(self, *args, **more):
                super().__init__(*args, **more)
                made.append(self)
                if len(made) > 1:
                    (tmp_path / "made").touch()

        path = save(tmp_path / "a.ckpt")
        monkeypatch.setattr(nets, "UNet", Patient)
        with pytest.raises(ConfigError, match="wants more than to be made"):
            load_network(path)
        assert len(made) == 2
        assert not (tmp_path / "made").exists()


class TestDamaged:
    def flip(self, path: Path, name: str = "") -> None:
        """Flip one bit of the largest record."""
        with zipfile.ZipFile(path) as archive:
            entry = max(archive.infolist(), key=lambda entry: entry.file_size)
        content = bytearray(path.read_bytes())
        content[entry.header_offset + entry.file_size // 2 + 64] ^= 1
        path.write_bytes(content)

    def test_a_flipped_bit_is_seen_by_everyone(self, tmp_path):
        path = save(tmp_path / "a.ckpt")
        load(path)
        self.flip(path)
        for read in (load, load_network, read_checkpoint):
            with pytest.raises(ConfigError, match=r"check sum: it was damaged\); take it from a backup"):
                read(path)

    def test_a_damaged_checkpoint_is_passed_over_aloud(self, tmp_path, caplog):
        run = RunFolder(tmp_path / "version_0")
        save(run.best)
        save(run.last)
        self.flip(run.last)
        with caplog.at_level(logging.WARNING):
            assert newest_whole(run) == run.best
        assert "last.ckpt: not readable" in caplog.text
        assert "passed over" in caplog.text

    def test_compressed_records(self, tmp_path):
        path = save(tmp_path / "a.ckpt")
        with zipfile.ZipFile(path) as archive:
            records = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in records.items():
                archive.writestr(name, bytes(1 << 28) if name.endswith("data/0") else content)
        limits = resource.getrlimit(resource.RLIMIT_AS)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (256 << 20), limits[1]))
        try:
            with pytest.raises(ConfigError, match="its records are compressed"):
                read_checkpoint(path)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)

    @pytest.mark.parametrize(
        "change",
        [
            lambda state: {},
            lambda state: "abc",
            lambda state: None,
            lambda state: [1],
            lambda state: dict.fromkeys(state, 3),
            lambda state: {3: next(iter(state.values()))},
            lambda state: {name: value[..., :1] for name, value in state.items()},
            lambda state: dict(list(state.items())[1:]),
        ],
    )
    def test_weights_that_are_none(self, tmp_path, change):
        with pytest.raises(ConfigError, match=r"a.ckpt: its weights are not those .*take it from a backup"):
            load(save(tmp_path / "a.ckpt", change=change))

    @pytest.mark.parametrize("factor", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("all_of_them", [True, False])
    def test_weights_that_are_not_finite(self, tmp_path, factor, all_of_them):
        def change(state):
            last = list(state)[-1]
            return {name: value + factor if all_of_them or name == last else value for name, value in state.items()}

        path = save(tmp_path / "a.ckpt", change=change)
        for read in (load, load_network):
            with pytest.raises(ConfigError, match=r"weights are NaN or infinite .*; take an earlier checkpoint"):
                read(path)

    @pytest.mark.parametrize(
        "changes",
        [
            *({"mirror_table": table} for table in ([0, 1], [0, 0, 0], [0, 1, 9], ["a", "b", "c"], 5, "012", {})),
            *({"in_channels": value} for value in (10**9, -1, 0, "1", 1.5, None, True, [1])),
            *({"preprocessing__grid__size": size} for size in ([16384, 16384], [0, 4], [1.5, 4], ["a", "b"], 4, [4])),
            *({"preprocessing__window": window} for window in ([0], None, ["a", "b"], [float("nan"), 1], [0, 1e999])),
            *({"preprocessing": 3}, {"preprocessing__modality": ["x-ray"]}, {"preprocessing__axis": {}}),
            *({"classes__names": names} for names in (["background"], ["a", "a", "b"], [1, 2, 3], "abc", 3)),
            *({"classes__values": values} for values in ([0, 1], [0, 1, 2**40], [0, 1, "2"], [0.0, 1.5, 2])),
            *({"classes__indices": pairs} for pairs in ([[0, 9]], [[0]], [["a", 0]], 3)),
            *(
                {"unit": unit}
                for unit in ({"neighbours": 10**9 + 1}, {"patch": [10**4] * 3}, {"a": 1}, [], {"patch": "abc"})
            ),
            *({"network": network} for network in (None, [], {}, {"architecture": 3}, "monai.networks.nets.UNet")),
            *({"network__arguments": value} for value in ("abc", [1], 3, None, {"channels": "x"}, {"in_channels": 3})),
            *({"network__feature_layer": layer} for layer in (3, {}, "nowhere", [[]], [""])),
            *({"version": version} for version in (None, 3, ["a"])),
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_recipes(self, tmp_path, changes):
        with pytest.raises(ConfigError):
            load(save(tmp_path / "a.ckpt", plain(**changes)))

    @pytest.mark.parametrize("text", ["", "null", "[]", "3", "{", "[" * 10**5, '{"network": 1}'])
    def test_recipes_that_are_no_recipes(self, tmp_path, text):
        with pytest.raises(ConfigError, match="the checkpoint's recipe cannot be read"):
            load(save(tmp_path / "a.ckpt", text))


LEAVES = ["version", "network__architecture", "network__arguments", "network__feature_layer", "in_channels"]
LEAVES += ["classes__names", "classes__indices", "classes__values", "mirror_table", "unit", "preprocessing__grid"]
LEAVES += ["preprocessing__modality", "preprocessing__window", "preprocessing__axis", "preprocessing__grid__spacing"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(leaf=st.sampled_from(LEAVES), value=VALUES)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_recipe_of_anything_is_read_or_refused_and_nothing_else(leaf, value):
    try:
        recipe = Recipe.from_json(json.dumps(plain(**{leaf: value})))
        recipe.build_network()
    except AdaWACError:
        return
    assert recipe.data.in_channels == 1
