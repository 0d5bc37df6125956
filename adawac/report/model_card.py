"""A model card: what an exported network is made of, how well it does, and what it is not for."""

from pathlib import Path

from adawac.data.modality import distinct
from adawac.errors import AdaWACError, counted, rounded
from adawac.evaluation.summary import summary_lines
from adawac.evaluation.training_record import read_run
from adawac.metrics.empty import CHOOSING_POLICY, policy_note
from adawac.report.blocks import Block, Document, Paragraph, Section, Table
from adawac.report.markdown import render
from adawac.runs.checkpoint import Recipe, epoch_of
from adawac.runs.folder import RunFolder, run_of_checkpoint

LICENCE = (
    "Not stated: whoever trained the network says under which licence its weights may be used. The licence of the data "
    "that it was trained on may bind them. The code of adawac is under the Apache License 2.0."
)
USE = (
    "For research: to outline these classes in images like those that it was trained on, for a person to check. It is "
    "no medical device, and is not validated for diagnosis or treatment.",
    "Metrics hold for the volumes that they were measured on. On other scanners, protocols, spacings, ages or diseases "
    "it can do worse, and no prediction tells so: measure it on data of your own first. It knows no class but these; "
    "what was cut off, operated on or is not wholly in view may be outlined wrongly.",
)


def model_card(recipe: Recipe, checkpoint: Path) -> str:
    """Markdown for people who get the network without the run; names no place, user or case.

    Args:
        recipe: of the network.
        checkpoint: that it is from; what its run records is told, if it lies in one.
    """
    run = run_of_checkpoint(checkpoint)
    network = recipe.network.architecture.rpartition(".")[2]
    classes = recipe.data.classes.names[1:]
    return render(
        Document(
            f"Model card: {network} for {', '.join(classes)}",
            f"Trained and exported with adawac {recipe.version}.",
            (
                Section("Model", (Table(("", ""), tuple(_model(recipe, run)), words=True),)),
                Section("Data", (Paragraph(_data(run, checkpoint)),)),
                Section("Metrics", tuple(_metrics(run, checkpoint, recipe))),
                Section("Licence", (Paragraph(LICENCE),)),
                Section("Intended use and limits", tuple(map(Paragraph, USE))),
            ),
        )
    )


def _model(recipe: Recipe, run: RunFolder) -> list[tuple[str, str]]:
    data = recipe.data
    prepared, values = data.preprocessing, data.classes.values
    low, high = prepared.window
    size, spacing = (" x ".join(map(str, numbers or ())) for numbers in (recipe.input_size, prepared.grid.spacing))
    labels = ", ".join(f"{value} {name}" for value, name in zip(values, data.classes.names, strict=True))
    return [
        ("network", recipe.network.architecture),
        *([("method", run.method)] if run.method else []),
        ("label values", labels),
        *([("kept is the largest part of", ", ".join(recipe.largest_component))] if recipe.largest_component else []),
        ("input", f"{data.unit.noun[1]} of {prepared.axis} volumes, {size}, {counted(data.in_channels, 'channel')}"),
        ("spacing", f"{spacing} mm in plane" if spacing else "each plane is resized, whatever its spacing"),
        ("intensities", ", ".join(distinct(prepared.modality)).upper() + f", {low:g} to {high:g} HU" * prepared.has_ct),
    ]


def _data(run: RunFolder, checkpoint: Path) -> str:
    record, split = run.record, run.split
    if split is None or "training_units" not in record:
        return "Not recorded."
    cases = ", ".join(
        f"{len(part)} to {use}"
        for part, use in ((split.train, "train"), (split.val, "choose the checkpoint"), (split.test, "test"))
    )
    dense, units, kind = record.get("label_dense"), record["training_units"], record.get("unit", "slice")
    count = record.get("epochs")
    epochs = "" if count is None else f" Trained for {counted(count, 'epoch')}."
    if (epoch := epoch_of(checkpoint)) is not None:
        epochs += f" The checkpoint is that of epoch {epoch}."
    return f"Volumes: {cases}. Training samples ({kind}): {units}, {dense} of them with a label of a class.{epochs}"


def _metrics(run: RunFolder, checkpoint: Path, recipe: Recipe) -> list[Block]:
    """Those of the test volumes, if this very checkpoint was tested."""
    if not run.checkpoints or run.checkpoint != checkpoint.resolve():
        return [Paragraph("Not measured.")]
    dice = run.record.get("val_dice")
    validated = (
        ""
        if dice is None
        else f"On the validation volumes, which chose the checkpoint: Dice {rounded(dice)}"
        + ", as predicted, before only the largest part of a class is kept" * bool(recipe.largest_component)
        + f". {policy_note(CHOOSING_POLICY)}"
    )
    try:
        lines, note = summary_lines({"test": read_run(run)})
    except (AdaWACError, OSError):
        return [Paragraph(f"Not measured on test volumes. {validated}".strip())]
    table = Table(("", "test volumes"), tuple((name, value) for name, value in lines), note)
    return [table, *([Paragraph(validated)] if validated else [])]
