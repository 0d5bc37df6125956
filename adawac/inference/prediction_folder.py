"""The folder that `adawac predict` fills: what is in it of each case, and which models made it with which settings."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib

from adawac.errors import ConfigError, some_of
from adawac.io.atomic import write_text
from adawac.io.hashing import short_hash
from adawac.runs.config_diff import changed

MANIFEST = "predictions.json"
"""Name of the file that records models and settings."""

LABEL, PROBABILITIES, PICTURE = ".nii.gz", "_probabilities.nii.gz", ".png"
"""What is appended to a case's name."""


OF_IMAGE = "made by adawac of the image "
"""Begins the description in a label's header; the hash of the image's files follows."""


def image_of(label: Path) -> str | None:
    """Hash of the image that a label was made of; "" where its header says none, None where it cannot be read."""
    try:
        said = nib.load(label).header["descrip"].item().decode("latin-1")  # type: ignore[index]
    except Exception:  # whatever a damaged file may lead to
        return None
    return found[1] if (found := re.search(rf"{OF_IMAGE}(\w+)", said)) else ""


def recorded(folder: Path) -> dict[str, Any]:
    """What a folder says of how it was filled; empty where others filled it, or nothing of it can be read."""
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


class PredictionFolder:
    """Labels of one model (or ensemble) with one set of settings, so that nothing is mixed when a stopped run goes on.

    Args:
        path: the folder.
        endings: what is to be made of every case: `LABEL`, and on demand the others.

    Example:
        >>> import nibabel as nib, numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as path:
        ...     folder = PredictionFolder(Path(path), [LABEL])
        ...     folder.claim(["a", "b"], {"models": ["5f1d"], "settings": {"flip": False}})
        ...     nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), None), folder.file("a"))
        ...     folder.due({"a": [], "b": []})
        ['b']
    """

    def __init__(self, path: Path, endings: Sequence[str]) -> None:
        self.path = path
        self.endings = tuple(endings)
        self._made_by: Mapping[str, Any] = {}

    def file(self, case: str, ending: str = LABEL) -> Path:
        """Where something of a case lies."""
        return self.path / f"{case}{ending}"

    def due(self, cases: Mapping[str, Sequence[Path]]) -> list[str]:
        """Cases of which something is still to be made, or whose label is damaged.

        Args:
            cases: and the files of their images.

        Raises:
            ConfigError: labels are of other images of these names.
        """
        made = {case: all(self.file(case, ending).exists() for ending in self.endings) for case in cases}
        of = {case: image_of(self.file(case)) for case, there in made.items() if there}
        if others := [case for case, image in of.items() if image and image != (short_hash(cases[case]) or image)]:
            raise ConfigError(
                f"--output {self.path}: labels of {some_of(others)} were made of other images of these names; give "
                "another folder, or --overwrite to predict these"
            )
        return [case for case in cases if of.get(case) is None]

    def claim(
        self,
        cases: Collection[str],
        made_by: Mapping[str, Any],
        overwrite: bool = False,
        where: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what is going to make the labels, or refuse where something else has made those that are there.

        Args:
            cases: which are to be predicted.
            made_by: plain JSON that decides what labels look like, such as hashes of models and settings.
            overwrite: remove first what is there of the cases, so that a run stopped half way leaves no mixture.
            where: plain JSON that is recorded as well but may change, such as paths.

        Raises:
            ConfigError: naming what differs, the cases that would stay as another model made them, or one whose label
                would be called as the probabilities of another.
        """
        if clash := [case for case in cases if f"{case}{PROBABILITIES}".removesuffix(LABEL) in cases]:
            raise ConfigError(
                f"case {clash[0]}: its probabilities are called as the label of case {clash[0]}"
                f"{PROBABILITIES.removesuffix(LABEL)}; rename the image of one of them"
            )
        self._made_by = made_by
        there = self._labelled(cases)
        if overwrite:
            there -= set(cases)
        if there and (difference := self._difference(made_by)):
            remedy = (
                f"labels of other cases lie there ({some_of(sorted(there))}): move them away, or give another folder"
                if overwrite
                else "give another folder, or --overwrite to predict again what is there"
            )
            raise ConfigError(f"--output {self.path}: {difference}; {remedy}")
        if overwrite:
            for case in cases:
                for ending in (LABEL, PROBABILITIES, PICTURE):
                    self.file(case, ending).unlink(missing_ok=True)
        write_text(self.path / MANIFEST, json.dumps({**made_by, **(where or {})}, indent=1) + "\n")

    def check(self) -> None:
        """Before anything is written: that no other process has claimed the folder since.

        Raises:
            ConfigError: one has, with other models or settings.
        """
        if difference := self._difference(self._made_by):
            raise ConfigError(f"--output {self.path}: claimed by another process: {difference}; give another folder")

    def _labelled(self, cases: Collection[str]) -> set[str]:
        """Cases that have a label here, whoever made it; probabilities of these and of others are none."""
        there = {path.name for path in self.path.glob(f"*{LABEL}") if not path.name.startswith(".")}
        known = {*cases, *(name.removesuffix(LABEL) for name in there)}
        return {name.removesuffix(LABEL) for name in there if name.removesuffix(PROBABILITIES) not in known}

    def _difference(self, made_by: Mapping[str, Any]) -> str | None:
        path = self.path / MANIFEST
        if not path.exists():
            return f"there are labels but no {MANIFEST} that says which model made them"
        try:
            then = json.loads(path.read_text(encoding="utf-8"))
            before = {key: then[key] for key in made_by}
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"{MANIFEST}, which says what made the labels there, cannot be read ({error!r})"
        found = changed(before, json.loads(json.dumps(made_by)))
        differing = "; ".join(f"{name} {was}, not {now}" for name, (was, now) in found.items())
        return f"the labels there were made with {differing}" if found else None
