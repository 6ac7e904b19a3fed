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

from container.checkpoints import Checkpoints
from container.progress import say
from handlers.news.examples import Task
from handlers.news.journal import Journal, Measures


class Resuming:
    """Keeps a training's checkpoints in `folder`, if there is one."""

    def __init__(self, folder: Path, task: Task, journal: Journal) -> None:
        self._checkpoints = Checkpoints(folder, ".npz") if folder.is_dir() else None
        self._journal = journal
        # What is of another job, or of other data, is nothing to go on from.
        self._of = {**asdict(task.settings), "headlines": len(task.training), "network": task.network.name}

    def restore(self, variables: Sequence[Any], random: np.random.Generator | None = None) -> int:
        """Puts the newest checkpoint that fits into `variables` and `random`, its measures into the journal, and
        gives back the number of epochs that it has seen; 0 where there is none."""
        for epoch, path in self._checkpoints.newest_first() if self._checkpoints else ():
            try:
                told, arrays = _read(path)
                if told["of"] != self._of or len(arrays) != len(variables):
                    say(f"{path} is of another job (settings or data differ) and is not used")
                    continue
                for variable, array in zip(variables, arrays, strict=True):
                    variable.assign(array)
            except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
                say(f"{path} cannot be read and is not used: {error}")
                continue
            if random is not None:
                random.bit_generator.state = told["random"]
            say(f"going on after epoch {epoch}, from {path}")
            for measures in told["epochs"]:
                self._journal.note(Measures(**measures))
            return epoch
        return 0

    def save(self, variables: Sequence[Any], random: np.random.Generator | None = None) -> None:
        """A checkpoint after the epoch that the journal has noted last."""
        if self._checkpoints is None:
            return
        told = {
            "of": self._of,
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
