"""Making space on a full disk for files that matter more than our own artifacts."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from byo_container.container.files.atomic import write_atomically
from byo_container.container.log import log

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_with_room(path: Path, text: str) -> None:
    """Writes a text file into the output folder. If the disk is full, our own artifacts are removed to make space: the
    report, the metrics, the TensorBoard events. Raises OSError."""
    removable = own_artifacts(path.parent)
    while True:
        try:
            write_atomically(path, text)
            return
        except OSError as error:
            artifact = next(removable, None) if error.errno in FULL else None
            if artifact is None:
                raise
            log.warning("the disk is full: removing %s to make room for %s", artifact, path)
            artifact.unlink(missing_ok=True)


def own_artifacts(output: Path) -> Iterator[Path]:
    """The files for people that `train` itself has written to the output folder, the least needed first."""
    data, events = output / "data", output / "tensorboard"
    paths = [
        *data.glob(".report.html.*.new"),
        data / "report.html",
        data / "metrics.csv",
        *events.glob("*.byo-container"),
    ]
    yield from (path for path in paths if path.is_file())
