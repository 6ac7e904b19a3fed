"""Checkpoints of a training: after every epoch, all that is needed to resume as if there had been no interruption.

Saved where the platform gives the job a folder for them, /opt/ml/checkpoints. One takes 130 MB for the default network.
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
from byo_container.handlers.news.hyperparameters import Hyperparameters
from byo_container.handlers.news.preprocessing.dataset import Headlines
from byo_container.handlers.news.training.metric_log import EpochMetrics, MetricLog

PACKAGE = Path(__file__).parents[1]
SUFFIX = ".npz"
STATE = "told"  # the name in the archive of what is no array, as JSON
DIFFERENCES = {
    "data": "were made from other headlines or categories",
    "vectors": "were made with other vectors in the channel (glove*.txt)",
    "code": "were made by other code of the news handler",
}
UNREADABLE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


def identify(
    hyperparameters: Hyperparameters, headlines: Headlines, vectors: npt.NDArray[np.float32] | None
) -> dict[str, Any]:
    """What determines a training, and so which checkpoints belong to it: data, hyperparameters and code."""
    return {
        "data": headlines.fingerprint(),
        "vectors": None if vectors is None else digest.of_bytes(repr(vectors.shape).encode(), vectors.tobytes()),
        "code": digest.of_files(sorted(PACKAGE.rglob("*.py"))),
        **asdict(hyperparameters),
    }


def refuse_checkpoints_of_others(folder: Path, run: dict[str, Any]) -> None:
    """Raises JobError where the checkpoints in `folder` do not belong to `run`, the result of `identify`."""
    differences = {name: DIFFERENCES.get(name, f"were made with another {name}") for name in run}
    for _, path in Checkpoints(folder, SUFFIX).newest_first():
        try:
            with np.load(path, allow_pickle=False) as archive:
                before = json.loads(str(archive[STATE])).get("run", {})
        except UNREADABLE:
            continue  # `restore` logs that
        refuse_others(folder, before, run, differences)
        return


class TrainingCheckpoints:
    """Saves and restores the checkpoints of a training in `folder`, where that exists. `run` is from `identify`."""

    def __init__(self, folder: Path, run: dict[str, Any], metric_log: MetricLog) -> None:
        self._checkpoints = Checkpoints(folder, SUFFIX) if folder.is_dir() else None
        self._metric_log = metric_log
        self._run = run

    def restore(self, variables: Sequence[Any], random: np.random.Generator | None = None) -> int:
        """Loads the newest readable checkpoint into `variables` and `random`, and its metrics into the metric log.
        Returns the number of epochs that it has finished; 0 without a checkpoint."""
        for epoch, path in self._checkpoints.newest_first() if self._checkpoints else ():
            try:
                state, arrays = _read(path)
                for variable, array in zip(variables, arrays, strict=True):
                    variable.assign(array)
            except UNREADABLE as error:
                say(f"{path} cannot be read and is not used: {error}")
                continue
            if random is not None:
                random.bit_generator.state = state["random"]
            say(f"going on after epoch {epoch}, from {path}")
            for metrics in state["epochs"]:
                self._metric_log.add(EpochMetrics(**metrics), restored=True)
            return epoch
        return 0

    def save(self, variables: Sequence[Any], random: np.random.Generator | None = None) -> None:
        """Saves a checkpoint of the last epoch in the metric log."""
        if self._checkpoints is None:
            return
        state = {
            "run": self._run,
            "epochs": [asdict(metrics) for metrics in self._metric_log.epochs],
            "random": random.bit_generator.state if random else None,
        }
        arrays: dict[str, Any] = {str(index): np.asarray(variable) for index, variable in enumerate(variables)}
        arrays[STATE] = np.asarray(json.dumps(state))

        def write(path: Path) -> None:
            with path.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)

        self._checkpoints.save(len(self._metric_log.epochs), write)


def _read(path: Path) -> tuple[dict[str, Any], list[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        state = json.loads(str(archive[STATE]))
        return state, [archive[str(index)] for index in range(len(archive.files) - 1)]
