"""The model card beside an export: what the network is, where from, and how well it was tested."""

import json
from dataclasses import replace
from getpass import getuser

import torch
from test_export import checkpoint, export, trained

from adawac.cli import main
from adawac.data.grid import Grid
from adawac.data.preprocessing import Preprocessing
from adawac.evaluation import CaseRow, write_table
from adawac.inference.load_runs import load
from adawac.report.model_card import model_card

__all__ = ["trained"]  # a fixture


def test_says_what_the_network_is_and_where_from(trained, tmp_path):
    assert main(["validate", str(trained)]) == 0
    card = export(trained, "torchscript", tmp_path / "a.ts").with_name("a_card.md").read_text()
    assert card.startswith("# Model card: UNet for left\\_kidney, right\\_kidney")
    assert "0 background, 1 left\\_kidney, 2 right\\_kidney" in card
    assert "Volumes: 3 to train, 1 to choose the checkpoint, 0 to test. Training samples (slice): 24," in card
    assert f"Dice {json.loads((trained / 'run.json').read_text())['val_dice']:.3f}" in card
    path = trained / "checkpoints/best.ckpt"
    before = ", as predicted, before only the largest part of a class is kept"
    kept = model_card(replace(load(path).recipe, largest_component=("left_kidney",)), path)
    assert [f"{before}. Empty masks, policy skip" in each for each in (card, kept)] == [False, True]
    epoch = torch.load(path, weights_only=True)["epoch"]  # from 0
    assert f"The checkpoint is that of epoch {epoch + 1}." in card
    assert "Not measured on test volumes." in card
    for heading in ("Licence", "Intended use and limits"):
        assert f"## {heading}" in card
    told = card + (export(trained, "monai-bundle", tmp_path / "b") / "docs/model_card.md").read_text()
    assert not [name for name in ("/", getuser(), "pt_") if name in told]


def test_metrics_are_those_of_the_test_with_their_counts(tmp_path):
    folder = tmp_path / "runs/a/version_0"
    (folder / "checkpoints").mkdir(parents=True)
    path = checkpoint(folder / "checkpoints/best.ckpt", Preprocessing("ct", grid=Grid((32, 32))))
    rows = [
        CaseRow("a", "erm", f"case{n}", f"p{n}", "left", "all", "dice", dice, "penalise")
        for n, dice in ((1, 0.5), (2, 1))
    ]
    write_table(folder / "cases.csv", rows)
    card = model_card(load(path).recipe, path)
    assert "| cases | 2 |" in card
    assert "| Dice, left | 0.750 |" in card
    assert "case1" not in card


def test_a_completed_card_is_kept_unless_told(trained, tmp_path):
    (tmp_path / "a_card.md").write_text("CC-BY")
    export(trained, "torchscript", tmp_path / "a.ts")
    assert (tmp_path / "a_card.md").read_text() == "CC-BY"
    export(trained, "torchscript", tmp_path / "a.ts", "--overwrite")
    assert (tmp_path / "a_card.md").read_text().startswith("# Model card")
