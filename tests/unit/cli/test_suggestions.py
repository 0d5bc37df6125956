"""A name that is nearly right is refused, and the right one is named, wherever names are given."""

import pytest

from adawac.cli import main
from adawac.cli.init import init
from adawac.data.classes import Classes
from adawac.errors import ConfigError, did_you_mean
from adawac.metrics import empty_rule
from adawac.study import read_study


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: m\ndata: {root: .}\n")
    (tmp_path / "key.yaml").write_text("model:\n  weigthing: ERM\n")
    (tmp_path / "group.yaml").write_text("trainerr:\n  max_epochs: 1\n")
    (tmp_path / "setting.yaml").write_text("model:\n  weighting: {class_path: AdaWAC, init_args: {step_siz: 1}}\n")
    (tmp_path / "study.yaml").write_text("name: s\nconfig: mine.yml\ngrid: {seed: [0]}\n")
    (tmp_path / "gird.yaml").write_text("name: s\ngird: {seed: [0]}\n")
    return tmp_path


CASES = [
    ("fti", "fit"),
    ("evalute", "evaluate"),
    ("fit --config mine.yml", "mine.yaml"),
    ("fit --confg mine.yaml", "--config"),
    ("fit openkbp_unt", "openkbp_unet"),
    ("configs studies/phantom_smal", "studies/phantom_small"),
    ("fit --trainer.max_epoch 1", "--trainer.max_epochs"),  # a prefix of the right one
    ("fit --trainer.max_epoch=1", "--trainer.max_epochs"),
    ("fit --nam x", "--name"),
    ("fit --model.weigthing ERM", "--model.weighting"),
    ("fit --model.weighting.step_siz 1", "step_size"),
    ("fit --model.weighting AdaWac", "AdaWAC"),
    ("fit --model.schedule Ply", "Poly"),
    ("fit --model.optimizer torch.optim.AdmW", "AdamW"),
    ("fit --trainer.logger lightning.pytorch.loggers.TensorBordLogger", "TensorBoardLogger"),
    ("fit --trainer.callbacks+=EMAWeigthAveraging", "EMAWeightAveraging"),
    ("fit --trainer.precision 32-tru", "32-true"),
    ("fit --non_finite skp", "skip"),
    ("fit --config key.yaml", "model.weighting"),
    ("fit --config group.yaml", "trainer.max_epochs"),
    ("fit --config setting.yaml", "step_size"),
    ("prepare --config mine.yaml --data.rot x", "--data.root"),
    ("prepare --config mine.yaml --verif", "--verify"),
    ("check . --layout NNUnt", "NNUNet"),
    ("check . --pic x", "--picture"),
    ("init . --forc", "--force"),
    ("predict run -i a --outptu b", "--output"),
    ("predict run -i a -o b --large liver", "--largest-component"),
    ("export run --form onnx", "--format"),
    ("export run --format onxx", "onnx"),
    ("evaluate a -o b --label c", "--labels"),
    ("evaluate a -o b --policy penalize", "penalise"),
    ("evaluate mine.yml -o b", "mine.yaml"),
    ("study stduy.yaml", "study.yaml"),
    ("study study.yaml", "mine.yaml"),
    ("study study.yaml --cels a", "--cells"),
    ("study gird.yaml", "grid"),
    ("phantom o --patient 3", "--patients"),
    ("completion bsh", "bash"),
]


@pytest.mark.parametrize(("line", "right"), CASES, ids=[line for line, _ in CASES])
def test_the_right_name_is_said(line, right, capsys):
    try:
        code = main(line.split())
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    said = capsys.readouterr().err
    assert f"did you mean {right}?" in said


def test_a_setting_without_its_class(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "mine.yaml", "--model.weighting.step_size", "1"])
    assert "step_size is a setting of AdaWAC, " in capsys.readouterr().err


def test_what_is_like_nothing_is_not_guessed_at(capsys):
    assert main(["xyzzy"]) == 2
    with pytest.raises(SystemExit):
        main(["export", "run", "--xyzzy"])
    assert "did you mean" not in capsys.readouterr().err
    assert did_you_mean(["xyzzy"], ["liver"]) == ";"


def test_names_within_the_data_and_a_study(here):
    with pytest.raises(ConfigError, match=r"drop: .*did you mean spleen\? choose from"):
        Classes.from_labels({1: "liver", 2: "spleen"}, drop=["splen"])
    with pytest.raises(ConfigError, match=r"'Livr' is no class; did you mean liver\?"):
        Classes.from_labels({1: "liver", 2: "spleen"}).mirror_table({"Livr": "spleen"})
    with pytest.raises(ConfigError, match=r"did you mean skip\?"):
        empty_rule("skipp")
    (here / "good.yaml").write_text("{name: s, grid: {method: {erm: {model.weighting: ERM}}, seed: [0, 1]}}")
    with pytest.raises(ConfigError, match=r"no cell erm-sed1; .*; did you mean erm-seed\d\?$"):
        read_study(here / "good.yaml", here).take(["erm-sed1"])


def test_what_a_study_does_at_its_end_is_looked_at_before_it_begins(here, capsys):
    (here / "study.yaml").write_text("name: s\nconfig: mine.yaml\ngrid: {method: {one: {}, two: {}}, seed: [0]}\n")
    for option, said in (
        ("--reference=tow", "did you mean two? give one of one, two"),
        ("--on=dask", "give ray, or ray://"),
    ):
        assert main(["study", "study.yaml", "--dry-run", option]) == 2
        assert said in capsys.readouterr().err


VALUES = [
    ("--times 0", "times is 0; give a number above 0"),
    ("--trainer.benchmark maybe", "trainer.benchmark is maybe; give true, false or null"),
    ("--model.optimizer.init_args.lr fast", "model.optimizer.lr is fast; give a number"),
    ("--model.optimizer.betas [0.9]", "model.optimizer.betas is [0.9]; give a list of 2"),
    ("--model.weighting AdaWAC --model.weighting.step_size inf", "model.weighting.step_size is inf; give a number"),
    ("--model.weighting AdaWAC --model.weighting.stepp 1", "model.weighting: AdaWAC has no setting stepp"),
    ("--model.schedule StepLR", "'StepLR' is no class that is known here. It can be Constant, Cosine, Poly, or"),
    ("--data.drop [no]", "data.drop is False; give text (in quotes where YAML reads a number, yes or no)"),
    ("--data.drop [1]", "data.drop is 1; give text (in quotes where YAML reads a number, yes or no)"),
    ("--data.modality CT", "data.modality is CT; did you mean ct? give ct, mr, prescaled, a list or null"),
    ("--data.batch_size 1.5", "data.batch_size is 1.5; give a whole number"),
    ("--data.mirror_pairs left", "data.mirror_pairs is left; give a mapping or null"),
    (
        "--model.augmentation StrongAugmentation --model.augmentation.noise 3",
        "model.augmentation.noise is 3; --help all shows what it takes",
    ),
    ("--config value.yaml", "data.size is 64; give a list"),
]


@pytest.mark.parametrize(("options", "said"), VALUES, ids=[options for options, _ in VALUES])
def test_a_value_of_the_wrong_kind_is_said_in_a_line(options, said, here, capsys):
    (here / "value.yaml").write_text("name: m\ndata: {root: ., size: 64}\n")
    with pytest.raises(SystemExit):
        main(["fit", "--config", "mine.yaml", *options.split()])
    error = capsys.readouterr().err.partition("error: ")[2]
    assert said in error
    assert len(error.splitlines()) == 1
    assert "jsonargparse" not in error
    assert "Union" not in error


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("fit .", "for a folder of data: adawac init "),
        ("fit runs/m/version_0", "to go on with a run: --resume "),
        ("test", "give the file of a configuration, as `adawac init DATA` writes it; to validate or test, a run"),
        (
            "fit mine.yaml --data.window -100,200",
            "a value that begins with - is given behind =, as in --data.window=-1",
        ),
    ],
)
def test_what_is_given_in_another_way_is_shown(command, said, here, capsys):
    run = here / "runs/m/version_0"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("name: m\ndata: {root: .}\n")
    with pytest.raises(SystemExit):
        main(command.split())
    assert said in capsys.readouterr().err


def test_what_init_does_not_take_is_said_in_a_line_from_python_too(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["init", str(tmp_path), "--memory=-1"])
    assert "error: memory is -1; give a number above 0 or null\n" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"^memory is -1; give a number above 0 or null$"):
        init(tmp_path, memory=-1)
    with pytest.raises(ConfigError, match=r"^layout: 'MDS' is no class that is known here; did you mean MSD\?"):
        init(tmp_path, layout="MDS")
