"""`adawac rerun RUN`: train again what a run folder records, and say whether the same came out."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adawac.errors import ConfigError, printable
from adawac.runs.config_diff import changed
from adawac.training.suggestions import Parser

SET_HERE = {"--runs", "--name", "--resume", "--ckpt_path"}
"""Options of `adawac fit` that would lead the comparison to another run."""


def main(argv: Sequence[str]) -> int:
    """Parse the arguments, train and compare.

    Args:
        argv: arguments after the command.

    Returns:
        Exit status: 0 the same weights bit for bit, 1 others.

    Raises:
        ConfigError: RUN is no run folder, or was not trained to its end; or an option would lead to another run.
    """
    args, more = parser().parse_known_args(argv)
    if given := sorted({option.partition("=")[0] for option in more} & SET_HERE):
        raise ConfigError(f"{', '.join(given)}: a rerun sets this itself; leave it out")
    from adawac.runs.folder import RunFolder

    run = RunFolder(args.run.resolve())
    for path in (run.config_file, run.split_file, run.record_file, run.last):
        if not path.is_file():
            raise ConfigError(
                f"{args.run} has no {path.relative_to(run.path)}{run.meant} give the folder of a run that has ended, "
                "runs/NAME/version_0"
            )
    then = run.record
    if "steps" not in then:
        raise ConfigError(f"{args.run} has not ended; go on with it first: adawac fit --resume {args.run}")

    from adawac.runs.checkpoint import read_checkpoint
    from adawac.training.configuration import as_trained, resolve
    from adawac.training.others_runs import check_classes
    from adawac.training.train import train

    if not args.trust:
        check_classes(run)
    options = {
        "--config": str(run.config_file),
        **as_trained(run),
        "--runs": str(run.runs),
        "--name": f"{run.experiment}_rerun",
        "--ckpt_path": "null",
        "--resume": "null",  # or a run trained with it would go on from an earlier rerun, and find itself the same
    }
    again = train(resolve(["fit", *(f"{key}={value}" for key, value in options.items()), *more], exit_on_error=True))
    if again is None or not again.last.is_file():  # one of several processes; or options that leave nothing to compare
        return 0
    now = again.record
    parts = [*then.get("earlier", []), {}]  # of a run that went on, perhaps elsewhere
    for line in dict.fromkeys(line for part in parts for line in differences({**then, **part}, now)):
        print(printable(f"differs: {line}"))
    commands = [shlex.join(["adawac", *(part.get("command") or then.get("command", []))[1:]]) for part in parts]
    states = [read_checkpoint(each.last)["state_dict"] for each in (run, again)]
    other = other_weights(*states)
    print(f"{again.path}: " + ("the same weights, bit for bit" if not other else f"other weights: {', '.join(other)}"))
    if other and len(commands) > 1:  # such as with more epochs, to which the schedule was stretched
        print(f"the run went on {len(commands) - 1} times, perhaps with other settings; it was trained by")
        print(printable("\n".join(f"  {command}" for command in commands)))
    return 1 if other else 0


def parser() -> Parser:
    """The command's options; `fit` has more."""
    made = Parser(
        prog="adawac rerun",
        description="Train again with the configuration, split and seed of a run, into RUNS/NAME_rerun, and compare. "
        "On one machine's CPU the weights are the same, bit for bit. All other options go to `adawac fit`.",
    )
    made.add_argument("run", type=Path, metavar="RUN", help="run folder, such as runs/NAME/version_0")
    made.add_argument("--trust", action="store_true", help="run the code of others that its configuration names")
    return made


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two records of runs do not share of what a result depends on.

    Args:
        then: what was recorded of the run.
        now: of the other.

    Example:
        >>> differences({"versions": {"torch": "2.12"}}, {"versions": {"torch": "2.13"}})
        ['versions.torch: 2.12 then, 2.13 now']
    """

    def said(value: Any) -> Any:
        return "nothing" if value in ("", None) else value

    keys = ("versions", "code", "device", "data", "skipped", "training_units", "steps")
    then = {"training_units": then.get("training_slices"), **then}  # its name in older runs
    found = changed(*({key: record.get(key) for key in keys} for record in (then, now)))
    return [f"{key}: {said(was)} then, {said(is_now)} now" for key, (was, is_now) in found.items()]


def other_weights(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of what differs in a single bit, or that only one has; at most three, then how many more."""
    import torch

    def same(name: str) -> bool:
        if name not in one or name not in other or not isinstance(one[name], torch.Tensor):
            return one.get(name) == other.get(name)  # such as the names of GroupDRO's groups
        # NaN marks slices that were never seen: the same on both sides
        return torch.equal(one[name].nan_to_num(-1), other[name].nan_to_num(-1))

    names = [name for name in {**one, **other} if not same(name)]
    return [*names[:3], f"and {len(names) - 3} more"] if len(names) > 3 else names
