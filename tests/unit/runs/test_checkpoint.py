import dataclasses
import json

import pytest
import torch
from faults import Bomb

from adawac.data.classes import Classes
from adawac.data.facts import DataFacts
from adawac.data.grid import Grid
from adawac.data.preprocessing import Preprocessing
from adawac.data.unit_kinds import PatchUnit, SliceUnit
from adawac.errors import ConfigError
from adawac.inference.load_runs import load
from adawac.networks import NetworkSpec
from adawac.runs.checkpoint import Recipe, find_checkpoint, load_matching, network_weights, read_checkpoint
from adawac.runs.folder import RunFolder

CLASSES = Classes.from_labels({0: "background", 1: "left", 5: "right", 7: "cord", 9: "unsure"}, ignore_value=9)
SPEC = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]})
RECIPE = Recipe(
    network=SPEC,
    data=DataFacts(
        in_channels=2,
        classes=CLASSES,
        mirror_table=CLASSES.mirror_table({"left": "right"}),
        preprocessing=Preprocessing("ct", (-100.0, 240.0), "coronal", Grid((32, 48), (1.5, 2.0), True)),
    ),
    version="0.0.7",
)


def on(**data):
    """The recipe of a network that was trained on other data."""
    return dataclasses.replace(RECIPE, data=dataclasses.replace(RECIPE.data, **data))


def save(path, recipe=RECIPE):
    """A checkpoint as `adawac fit` writes it, less what only training needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    weights = {f"network.{name}": value for name, value in recipe.build_network().state_dict().items()}
    state = {**weights, "weighting.log_odds": torch.zeros(3)}
    torch.save({"state_dict": state, "adawac_recipe": recipe.to_json()}, path)
    return path


class TestRecipe:
    @pytest.mark.parametrize(
        "recipe",
        [
            RECIPE,
            on(mirror_table=None, preprocessing=Preprocessing("mr")),
            dataclasses.replace(RECIPE, network=NetworkSpec(SPEC.architecture, SPEC.arguments, "network.model.0")),
            on(unit=SliceUnit(5)),
            on(unit=PatchUnit((8, 16, 24))),
        ],
        ids=["all-set", "all-default", "feature-layer", "neighbours", "patches"],
    )
    def test_json_round_trip(self, recipe):
        text = recipe.to_json()
        assert Recipe.from_json(text) == recipe
        assert Recipe.from_json(text).to_json() == text
        assert isinstance(json.loads(text), dict)

    def test_network_is_rebuilt_for_the_channels_and_classes(self):
        logits = Recipe.from_json(RECIPE.to_json()).build_network()(torch.zeros(1, 2, 32, 32)).logits
        assert logits.shape == (1, 4, 32, 32)

    def test_neighbours_are_further_channels(self):
        network = on(unit=SliceUnit(3)).build_network()
        assert network(torch.zeros(1, 6, 32, 32)).logits.shape == (1, 4, 32, 32)

    def test_patches_take_a_network_of_three_dimensions(self):
        recipe = on(unit=PatchUnit((8, 16, 24)))
        assert recipe.input_size == (8, 16, 24)
        assert recipe.build_network()(torch.zeros(1, 2, 8, 16, 24)).logits.shape == (1, 4, 8, 16, 24)

    def test_a_network_of_planes_alone_takes_no_patches(self):
        spec = NetworkSpec("adawac.networks.resnet_unet.ResNetUNet")
        recipe = dataclasses.replace(on(unit=PatchUnit((8, 32, 32))), network=spec)
        with pytest.raises(ConfigError, match=r"ResNetUNet takes no spatial_dims, .* leave data.patch out, or choose"):
            recipe.build_network()

    def test_recipes_without_a_unit_are_of_single_slices(self):
        plain = json.loads(RECIPE.to_json())
        del plain["unit"]
        assert Recipe.from_json(json.dumps(plain)) == RECIPE

    def test_a_unit_of_the_future_is_refused(self):
        plain = json.loads(RECIPE.to_json())
        plain["unit"]["sphere"] = 3
        with pytest.raises(ConfigError, match=r"recipe cannot be read \(TypeError: .*'sphere'"):
            Recipe.from_json(json.dumps(plain))

    def test_flip_needs_left_and_right_in_the_plane(self):
        RECIPE.check_flip()
        sagittal = on(preprocessing=Preprocessing("ct", axis="sagittal"))
        with pytest.raises(ConfigError, match=r"sagittal slices do not show left and right.*switch it off"):
            sagittal.check_flip()


class TestTrust:
    """A recipe names a class, and importing its module runs it."""

    @pytest.mark.parametrize(
        "path",
        [
            "os.system",
            "evil.Net",
            "torch.nn.Linear",
            "monai.bundle.ConfigParser",
            "monai.networks.utils.save_state",  # in a known package, but no network
            "adawac.runs.checkpoint.Recipe",
        ],
    )
    def test_an_untrusted_class_is_refused_before_it_is_imported(self, tmp_path, monkeypatch, path):
        (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'boom')!r}, 'w')\nclass Net: ...\n")
        monkeypatch.syspath_prepend(tmp_path)
        checkpoint = torch.load(save(tmp_path / "a.ckpt"), weights_only=True)
        recipe = json.loads(checkpoint["adawac_recipe"])
        recipe["network"]["architecture"] = path
        torch.save(checkpoint | {"adawac_recipe": json.dumps(recipe)}, tmp_path / "a.ckpt")
        with pytest.raises(ConfigError, match=r"only classes of adawac and monai.networks .* `--trust`"):
            load(tmp_path / "a.ckpt")
        assert not (tmp_path / "boom").exists()

    def test_one_s_own_class_is_made_when_trusted(self, tmp_path, monkeypatch):
        (tmp_path / "mine.py").write_text("from monai.networks.nets import UNet\nclass Mine(UNet): ...\n")
        monkeypatch.syspath_prepend(tmp_path)
        spec = NetworkSpec("mine.Mine", SPEC.arguments, "model.1.submodule")
        path = save(tmp_path / "a.ckpt", dataclasses.replace(RECIPE, network=spec))
        with pytest.raises(ConfigError, match=r"'mine\.Mine'"):
            load(path)
        assert type(load(path, trust=True).network.network).__name__ == "Mine"

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"mirror_table": null, "network": {"architecture": 3}}'])
    def test_a_recipe_that_makes_no_sense(self, text):
        with pytest.raises(ConfigError, match=r"(recipe cannot be read .*train again or install|'3', but only)"):
            Recipe.from_json(text)


class TestFind:
    def test_file_is_itself(self, tmp_path):
        path = save(tmp_path / "anything.ckpt")
        assert find_checkpoint(path) == path

    def test_run_folder_gives_best_else_last(self, tmp_path):
        last = save(tmp_path / "checkpoints/last.ckpt")
        assert find_checkpoint(tmp_path) == last
        best = save(tmp_path / "checkpoints/best.ckpt")
        assert find_checkpoint(tmp_path) == best

    @pytest.mark.parametrize("name", ["", "nowhere"])
    def test_neither(self, tmp_path, name):
        with pytest.raises(ConfigError, match=r"neither a checkpoint nor a run folder with checkpoints/best.ckpt"):
            find_checkpoint(tmp_path / name)


class TestRead:
    def test_weights_are_named_as_the_network_names_them(self, tmp_path):
        checkpoint = read_checkpoint(save(tmp_path / "a.ckpt"))
        network = RECIPE.build_network()
        network.load_state_dict(network_weights(checkpoint))  # strict: no weight more, no weight less

    def test_code_in_a_checkpoint_is_refused_and_not_run(self, tmp_path):
        path = tmp_path / "evil.ckpt"
        torch.save({"state_dict": {}, "adawac_recipe": RECIPE.to_json(), "x": Bomb(tmp_path / "boom")}, path)
        with pytest.raises(ConfigError, match=r"evil.ckpt: not readable as a checkpoint of tensors and plain values"):
            read_checkpoint(path)
        with pytest.raises(ConfigError, match="not readable"):
            load(path)
        assert not (tmp_path / "boom").exists()

    @pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 cut short"])
    def test_other_files_are_refused(self, tmp_path, content):
        (tmp_path / "a.ckpt").write_bytes(content)
        with pytest.raises(ConfigError, match=r"a.ckpt: not readable as a checkpoint"):
            read_checkpoint(tmp_path / "a.ckpt")

    @pytest.mark.parametrize("content", [{"state_dict": {}}, [torch.zeros(2)], torch.zeros(2)])
    def test_other_programs_checkpoints_are_refused(self, tmp_path, content):
        torch.save(content, tmp_path / "a.ckpt")
        with pytest.raises(ConfigError, match="holds no 'adawac_recipe'; give a checkpoint written by `adawac fit`"):
            read_checkpoint(tmp_path / "a.ckpt")


class TestLoad:
    def test_ready_to_predict(self, tmp_path):
        segmenter = load(save(tmp_path / "checkpoints/best.ckpt").parent.parent)
        assert segmenter.recipe == RECIPE
        assert not segmenter.network.training

    @pytest.mark.parametrize("device", ["toaster", "cuda:99"])
    def test_device_that_is_not_there(self, tmp_path, device):
        path = save(tmp_path / "a.ckpt")
        with pytest.raises(ConfigError, match=f"device '{device}' cannot be used here .*; give another, such as cpu"):
            load(path, device)


class TestInitFrom:
    def test_same_network_is_copied_whole(self, tmp_path):
        path = save(tmp_path / "a.ckpt")
        network = RECIPE.build_network()
        assert load_matching(network, path) == []
        theirs = network_weights(read_checkpoint(path))
        assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())

    def test_what_differs_is_left_alone_and_listed_on_both_sides(self, tmp_path):
        """One class more here, so the output layers differ; a layer less and another name there."""
        path = save(tmp_path / "run/checkpoints/last.ckpt")
        theirs = network_weights(read_checkpoint(path))
        checkpoint = torch.load(path, weights_only=True)
        gone, kept, *_ = [name for name in theirs if name.startswith("network.model.0")]
        checkpoint["state_dict"]["network.elsewhere"] = checkpoint["state_dict"].pop(f"network.{gone}")
        torch.save(checkpoint, path)

        network = SPEC.build(in_channels=2, num_classes=5)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        lines = load_matching(network, tmp_path / "run")
        after = network.state_dict()

        reshaped = [name for name in theirs if theirs[name].shape != before[name].shape]
        assert reshaped
        assert set(lines) == {
            *(f"{name}: {tuple(theirs[name].shape)} there, {tuple(before[name].shape)} here" for name in reshaped),
            "elsewhere: only there",
            f"{gone}: only here",
        }
        for name in (gone, *reshaped):
            assert torch.equal(after[name], before[name]), name
        for name in after.keys() - {gone, *reshaped}:
            assert torch.equal(after[name], theirs[name]), name
        assert not torch.equal(after[kept], before[kept])

    def test_nothing_that_matches_is_an_error(self, tmp_path):
        path = save(tmp_path / "a.ckpt")
        network = NetworkSpec(SPEC.architecture, {"channels": [3, 5], "strides": [2], "act": "RELU"}).build(1, 3)
        with pytest.raises(ConfigError, match=r"no weight of .*a.ckpt fits this network.*; drop init_from"):
            load_matching(network, path)


@pytest.mark.parametrize("given", ["mine", "mine/version_1/checkpoints", "mine/version_1/model.onnx"])
def test_the_run_that_is_meant_is_named(tmp_path, given):
    for number in (0, 1):
        (tmp_path / f"mine/version_{number}/checkpoints").mkdir(parents=True)
        (tmp_path / f"mine/version_{number}/config.yaml").touch()
    for refused in (lambda: find_checkpoint(tmp_path / given), lambda: RunFolder.open(tmp_path / given)):
        with pytest.raises(ConfigError, match=r"did you mean .*mine/version_1\? give one such as runs/NAME/version_0"):
            refused()
    (tmp_path / "mine/version_1/model.onnx").touch()
    with pytest.raises(ConfigError, match=r"model.onnx: not readable .*; give a run folder, or its checkpoints/best"):
        read_checkpoint(tmp_path / "mine/version_1/model.onnx")
