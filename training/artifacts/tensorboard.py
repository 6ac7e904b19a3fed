"""`python -m byo_container.training.artifacts.tensorboard METRICS.CSV FOLDER`: writes TensorBoard events while a job
writes its metric log.

A process of its own, so that neither a slow disk nor a large library delays process 1. On SIGTERM it writes the
remaining rows and ends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from byo_container.container.files.reading import BLOCK_BYTES, open_regular
from byo_container.container.metrics import MOST_NAMES, Row, is_kept, read_rows

POLL_INTERVAL_S = 1.0
MAX_UNTHINNED = 10_000
"""The first values of a metric all become events, later ones are thinned; TensorBoard itself shows a thousand."""
SUFFIX = ".byo-container"  # tells our files from a script's own
NOT_IN_TAGS = re.compile(r"[^\w./-]")
SLOW_IMPORTS = ("torch", "boto3")  # tensorboardX imports these where they are installed, which takes 1 s and 200 MB


class MetricLogReader:
    """Reads the rows that have been added to a metric log since the last call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0

    def rows(self) -> Iterator[Row]:
        """The new rows that are complete."""
        with contextlib.suppress(FileNotFoundError), open_regular(self.path) as stream:
            while True:
                stream.seek(self._position)
                added = stream.read(BLOCK_BYTES)
                end = added.rfind(b"\n") + 1
                if len(added) == BLOCK_BYTES and not end:  # a line of that length is not ours
                    end = len(added)
                if not end:
                    return
                self._position += end
                yield from read_rows(added[:end].decode("utf-8", "replace"))


class Events:
    """Writes rows to a file of events, which is created with the first row: the first MAX_UNTHINNED values of a metric,
    then fewer (see `is_kept`), and the last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._seen: Counter[str] = Counter()
        self._last: dict[str, Row] = {}

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.metric not in self._seen and len(self._seen) >= MOST_NAMES:
                continue
            self._seen[row.metric] += 1
            if is_kept(self._seen[row.metric], MAX_UNTHINNED):
                self._last.pop(row.metric, None)
                self._add(row)
            else:
                self._last[row.metric] = row
        if self._writer:
            self._writer.flush()

    def close(self) -> None:
        for row in self._last.values():
            self._add(row)
        if self._writer:
            self._writer.close()

    def _add(self, row: Row) -> None:
        if self._writer is None:
            self._open()
        event = self._new_event(wall_time=row.time, step=int(row.step))
        value = event.summary.value.add()
        value.tag = NOT_IN_TAGS.sub("_", row.metric).lstrip("/")
        value.simple_value = row.value
        self._writer.write_event(event)

    def _open(self) -> None:
        with _imports_blocked(SLOW_IMPORTS):
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event
        self._folder.mkdir(parents=True, exist_ok=True)
        self._new_event: Any = Event
        self._writer = EventsWriter(str(self._folder / "events"), SUFFIX)


@contextlib.contextmanager
def _imports_blocked(names: Iterable[str]) -> Iterator[None]:
    """Makes imports of these packages fail, unless they are imported already. This process has no other threads."""
    hidden: dict[str, Any] = {name: None for name in names if name not in sys.modules}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def is_installed() -> bool:
    """Whether tensorboardX is installed."""
    return importlib.util.find_spec("tensorboardX") is not None


def complete(rows: Iterable[Row], folder: Path) -> None:
    """Writes all events at once, unless a process has written them during the job."""
    if not any(folder.glob(f"*{SUFFIX}")):
        events = Events(folder)
        events.write(rows)
        events.close()


def main(path: Path, folder: Path) -> int:
    """Writes the events of the metric log `path` to `folder` until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # sigtimedwait takes it
    reader, events, stopped = MetricLogReader(path), Events(folder), False
    while not stopped:
        stopped = signal.sigtimedwait({signal.SIGTERM}, POLL_INTERVAL_S) is not None
        events.write(reader.rows())
    events.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except OSError as error:
        sys.exit(f"no more TensorBoard events: cannot write to {sys.argv[2]}: {error.strerror}")
