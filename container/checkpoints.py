"""Checkpoints that are whole even if the job is killed at any moment.

The platform copies /opt/ml/checkpoints to S3 while a job runs, and restores it when the job restarts after a spot
interruption. It copies files one by one, so each checkpoint is one file.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.log import log

NAME = "checkpoint"


def refuse_others(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], meanings: Mapping[str, str]) -> None:
    """Raises JobError where the checkpoints in `folder` are another job's, whose model this one would report as its
    own.

    `before` and `now` identify the two jobs. They are compared by the keys of `meanings`; its values say what a
    difference means, such as `were made from other data`.
    """
    for key, meaning in meanings.items():
        if key not in before or before[key] != now[key]:
            noted = repr(before[key]) if key in before else "not noted"
            raise JobError(
                f"the checkpoints in {folder} {meaning} ({key} was {noted}, now {now[key]!r}); "
                "empty the folder to train from the beginning (on SageMaker, also by another checkpoint_s3_uri), "
                "or run the job as it was"
            )


class Checkpoints:
    """The numbered checkpoints in `folder`, of which the newest `keep` are kept:

    for epoch, path in checkpoints.newest_first(): ...    # training resumes from the first that can be read
    checkpoints.save(epoch, lambda path: np.savez(path, ...))
    """

    def __init__(self, folder: Path, suffix: str, keep: int = 2) -> None:
        self.folder, self.suffix, self.keep = folder, suffix, keep

    def newest_first(self) -> Iterator[tuple[int, Path]]:
        """Yields the number and the file of each. A file that the platform has not copied completely may be damaged."""
        pattern = re.compile(rf"{NAME}-(\d+){re.escape(self.suffix)}")
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        matches = filter(None, map(pattern.fullmatch, names))
        numbers = sorted((int(match[1]) for match in matches), reverse=True)
        for number in numbers:
            yield number, self._path(number)

    def save(self, number: int, write: Callable[[Path], object]) -> None:
        """Calls `write` with the path of a new file, which becomes checkpoint `number` when it is complete. An OSError
        is logged and does not stop the training; the older checkpoints are kept."""
        # Always the same name, so that what a killed job has left is overwritten. It ends with the suffix, which some
        # writers append where it is missing.
        building = self.folder / f".{NAME}{self.suffix}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(building)
            with building.open("rb") as stream:
                os.fsync(stream.fileno())
            building.replace(self._path(number))
        except OSError as error:
            log.warning("checkpoint %d cannot be saved in %s: %s", number, self.folder, error.strerror or error)
            with contextlib.suppress(OSError):
                building.unlink()
            return
        for _, path in list(self.newest_first())[self.keep :]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"{NAME}-{number:06d}{self.suffix}"
