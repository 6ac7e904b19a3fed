"""Checkpoints of a training: after every epoch all that it takes to go on as if it had never been interrupted.

Saved where the platform gives the job a folder for them, /opt/ml/checkpoints; one takes 130 MB of the default network.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from byo_container.container.checkpoints import Checkpoints, refuse_others
from byo_container.container.files import digest
from byo_container.container.progress import say
from byo_container.handlers.news.hyperparameters import Settings
from byo_container.handlers.news.preprocessing.dataset import Headlines
from byo_container.handlers.news.training.metric_log import Journal, Measures

SUFFIX = ".npz"
MEANINGS = {
    "data": "were made from other headlines or categories",
    "vectors": "were made with other vectors in the channel (glove*.txt)",
    "code": "were made by other code of the news handler",
}
UNREADABLE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


def identify(settings: Settings, headlines: Headlines, vectors: npt.NDArray[np.float32] | None) -> dict[str, Any]:
    """What a training is, by which its checkpoints are known: what goes in, how, and the code that learns of it."""
    return {
        "data": headlines.fingerprint(),
        "vectors": None if vectors is None else digest.of_bytes(repr(vectors.shape).encode(), vectors.tobytes()),
        "code": digest.of_files(sorted(Path(__file__).parent.parent.rglob("*.py"))),
        **asdict(settings),
    }


def refuse_others_in(folder: Path, run: dict[str, Any]) -> None:
    """Raises JobError where the checkpoints in `folder` are not of `run`, which `identify` gave."""
    meanings = {name: MEANINGS.get(name, f"were made with another {name}") for name in run}
    for _, path in Checkpoints(folder, SUFFIX).newest_first():
        try:
            with np.load(path, allow_pickle=False) as archive:
                before = json.loads(str(archive["told"])).get("run", {})
        except UNREADABLE:
            continue  # of which `restore` tells
        refuse_others(folder, before, run, meanings)
        return


class Resuming:
    """Keeps the checkpoints of a training, which `run` identifies, in `folder`, if there is one."""

    def __init__(self, folder: Path, run: dict[str, Any], journal: Journal) -> None:
        self._checkpoints = Checkpoints(folder, SUFFIX) if folder.is_dir() else None
        self._journal = journal
        self._run = run

    def restore(self, variables: Sequence[Any], random: np.random.Generator | None = None) -> int:
        """Puts the newest checkpoint that can be read into `variables` and `random`, its measures into the journal, and
        gives back the number of epochs that it has seen; 0 where there is none."""
        for epoch, path in self._checkpoints.newest_first() if self._checkpoints else ():
            try:
                told, arrays = _read(path)
                for variable, array in zip(variables, arrays, strict=True):
                    variable.assign(array)
            except UNREADABLE as error:
                say(f"{path} cannot be read and is not used: {error}")
                continue
            if random is not None:
                random.bit_generator.state = told["random"]
            say(f"going on after epoch {epoch}, from {path}")
            for measures in told["epochs"]:
                self._journal.note(Measures(**measures), restored=True)
            return epoch
        return 0

    def save(self, variables: Sequence[Any], random: np.random.Generator | None = None) -> None:
        """A checkpoint after the epoch that the journal has noted last."""
        if self._checkpoints is None:
            return
        told = {
            "run": self._run,
            "epochs": [asdict(measures) for measures in self._journal.epochs],
            "random": random.bit_generator.state if random else None,
        }
        arrays: dict[str, Any] = {str(place): np.asarray(variable) for place, variable in enumerate(variables)}

        def write(path: Path) -> None:
            with path.open("wb") as stream:
                np.savez(stream, told=np.asarray(json.dumps(told)), **arrays)

        self._checkpoints.save(len(self._journal.epochs), write)


def _read(path: Path) -> tuple[dict[str, Any], list[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        told = json.loads(str(archive["told"]))
        return told, [archive[str(place)] for place in range(len(archive.files) - 1)]
