"""Room on a full disk for what matters more than our own records."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from byo_container.container.files.atomic import write_atomically
from byo_container.container.log import log

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_with_room(path: Path, text: str) -> None:
    """Writes a text file into the output folder. Where the disk is full, our own records give way: the report, the
    metrics, the TensorBoard events. Raises OSError."""
    records = own_records(path.parent)
    while True:
        try:
            write_atomically(path, text)
            return
        except OSError as error:
            record = next(records, None) if error.errno in FULL else None
            if record is None:
                raise
            log.warning("the disk is full: removing %s to make room for %s", record, path)
            record.unlink(missing_ok=True)


def own_records(output: Path) -> Iterator[Path]:
    """What `train` itself has left in the output folder for people to look at, the least needed first."""
    data, events = output / "data", output / "tensorboard"
    found = [
        *data.glob(".report.html.*.new"),
        data / "report.html",
        data / "metrics.csv",
        *events.glob("*.byo-container"),
    ]
    yield from (path for path in found if path.is_file())
