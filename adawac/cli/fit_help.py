"""What `adawac fit --help` shows: the settings that people change, on a page."""

from typing import Any

OF_FIT = {
    "--name": "of the experiment; the run lies in RUNS/NAME/version_K",
    "--runs": "folder of all runs",
    "--resume": "auto: go on where the run stopped, or begin it; or a run folder",
    "--seed_everything": "all that is random follows from it",
    "--times": "so many times the epochs, such as 2 for a method that costs half",
    "--pictures": "draw weights and predictions into TensorBoard",
}
OF_DATA = {
    "--data.root": "folder of the data set",
    "--data.layout": "how it lies on disk: MSD, NNUNet, Folders ...; default: recognised",
    "--data.split": "which cases train, validate and test; default: the data's own, else drawn",
    "--data.patient_pattern": "whom a case shows: regular expression, CSV, or auto: by names",
    "--data.skip_bad": "go on without cases that have a problem",
    "--data.drop": "names of classes that become background",
    "--data.size": "height and width of the training grid, pixels",
    "--data.batch_size": "slices a step, over all processes together",
    "--data.sampling": "which slices make a batch, such as ClassBalanced; default: every slice once",
    "--data.subset": "which training slices are kept; default: all",
}
OF_MODEL = {
    "--model.weighting": "the method: AdaWAC (default), Pair, ERM ... (docs/methods.md)",
    "--model.init_from": "run or checkpoint whose weights are the start",
    "--model.dice_ratio": "share of the batch Dice in the loss, 0 to 1",
    "--model.optimizer": "torch's class, such as torch.optim.AdamW; then --model.optimizer.lr",
}
OF_TRAINER = {
    "--trainer.max_epochs": "length of the training",
    "--trainer.check_val_every_n_epoch": "validate every so many epochs, and at the end",
    "--trainer.precision": "32-true, bf16-mixed or 16-mixed; default: 32-true",
    "--trainer.accelerator": "cpu or gpu; auto: a GPU if there is one",
    "--trainer.devices": "how many of them",
}
OF_A_RUN = {
    "--ckpt_path": "checkpoint; default: the run's best, else its last",
    "--trust": "run code of others that the run's configuration names",
    "--model.policy": "what empty masks are worth: penalise, skip or paper",
    "--model.flip_left_right": "average with the prediction of mirrored slices",
}
HEADS = {
    "fit": """adawac fit YAML [YAML ...] [--KEY VALUE ...]

Train. Settings stand in YAML files, yours or those that come with adawac (`adawac configs`): later ones count,
and so does what is typed here.""",
    "validate": """adawac validate RUN [--KEY VALUE ...]

Dice of a run's checkpoint on its validation volumes.""",
    "test": """adawac test RUN [--KEY VALUE ...]

All metrics of a run's checkpoint on its test volumes, on their own grids.""",
}
FOOT = """All settings:      adawac {command} --help all
Those of a class:  adawac fit --model.weighting.help AdaWAC
examples:"""
EXAMPLES = {
    "fit": ["mine.yaml", "mine.yaml --model.weighting ERM --times 2 --name mine_erm", "mine.yaml --resume auto"],
    "validate": ["runs/mine/version_0"],
    "test": ["runs/mine/version_0", "runs/mine/version_0 --data.root MOVED"],
}


def page(command: str) -> str:
    """The help of fit, validate or test.

    Args:
        command: of training.
    """
    from adawac.training.configuration import parser_of

    groups = {"run": OF_FIT, "data": OF_DATA, "model": OF_MODEL, "trainer": OF_TRAINER}
    if command != "fit":
        groups = {"run": OF_A_RUN, "data": {name: OF_DATA[name] for name in ("--data.root", "--data.skip_bad")}}
    parser = parser_of(command)
    lines = [f"usage: {HEADS[command]}"]
    for name, options in groups.items():
        lines += ["", f"{name}:"]
        for option, text in options.items():
            default = parser.get_default(option[2:]) if option in parser._option_string_actions else None
            lines.append(f"  {option:35}{text}{_said(default)}")
    return "\n".join(
        [*lines, "", FOOT.format(command=command), *(f"  adawac {command} {e}" for e in EXAMPLES[command])]
    )


def _said(default: Any) -> str:
    """A default that is no class, list or file."""
    if isinstance(default, bool):
        return f" (default: {str(default).lower()})"
    return f" (default: {default})" if isinstance(default, int | float) or default in ("auto", "runs", "run") else ""
