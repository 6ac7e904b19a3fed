"""`python -m training.tensorboard METRICS.CSV FOLDER`: writes TensorBoard events as long as a job writes metrics.

A process of its own, so that neither a slow disk nor a large library holds up process 1. It ends by SIGTERM, after
the last row.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path
from typing import Any

from container.metrics import Row, read_rows

LOOK_EVERY_S = 1.0
MARK = ".byo-container"  # how our files' names end, among those of a script's own


class Follower:
    """Reads what has been added to a file since it last looked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0

    def rows(self) -> list[Row]:
        """The rows that are new, and whole."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._position)
                added = stream.read()
        except FileNotFoundError:
            return []
        whole = added[: added.rfind(b"\n") + 1]
        self._position += len(whole)
        return read_rows(whole.decode("utf-8", "replace"))


def is_installed() -> bool:
    """Whether the library that writes events is here."""
    return importlib.util.find_spec("tensorboardX") is not None


def open_writer(folder: Path) -> Any:
    """A writer of events; tensorboardX, imported here because it takes a fifth of a second."""
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder), filename_suffix=MARK, flush_secs=1)


def write(rows: list[Row], writer: Any) -> None:
    for row in rows:
        writer.add_scalar(row.metric, row.value, int(row.step), walltime=row.time)


def complete(path: Path, folder: Path) -> None:
    """Writes all events at once, unless a follower has done so."""
    rows = Follower(path).rows()
    if rows and not any(folder.glob(f"*{MARK}")):
        writer = open_writer(folder)
        write(rows, writer)
        writer.close()


def main(path: Path, folder: Path) -> int:
    """Follows `path` until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # it is waited for
    follower, writer, stopped = Follower(path), None, False
    while not stopped:
        stopped = signal.sigtimedwait({signal.SIGTERM}, LOOK_EVERY_S) is not None
        rows = follower.rows()
        if rows:
            writer = writer or open_writer(folder)
            write(rows, writer)
    if writer:
        writer.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except OSError as error:
        sys.exit(f"no more TensorBoard events: cannot write to {sys.argv[2]}: {error.strerror}")
