"""`python -m byo_container.training.artifacts.tensorboard METRICS.CSV FOLDER`: writes TensorBoard events as long as
a job writes metrics.

A process of its own, so that neither a slow disk nor a large library holds up process 1. It ends by SIGTERM, after
the last row.
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

LOOK_EVERY_S = 1.0
ALL_OF = 10_000  # values of a metric become events; TensorBoard shows a thousand
MARK = ".byo-container"  # how our files' names end, among those of a script's own
NO_TAG = re.compile(r"[^\w./-]")
UNWANTED = ("torch", "boto3")  # which tensorboardX imports where they are installed: a second, and 200 MB


class Follower:
    """Reads what has been added to a file since it last looked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0

    def rows(self) -> Iterator[Row]:
        """The rows that are new, and whole."""
        with contextlib.suppress(FileNotFoundError), open_regular(self.path) as stream:
            while True:
                stream.seek(self._position)
                added = stream.read(BLOCK_BYTES)
                end = added.rfind(b"\n") + 1
                if len(added) == BLOCK_BYTES and not end:  # no line of ours
                    end = len(added)
                if not end:
                    return
                self._position += end
                yield from read_rows(added[:end].decode("utf-8", "replace"))


class Events:
    """Writes rows to a file of events, which there is from the first row on: the first ALL_OF values of a metric, then
    fewer (see `is_kept`), and the last."""

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
            if is_kept(self._seen[row.metric], ALL_OF):
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
        value.tag = NO_TAG.sub("_", row.metric).lstrip("/")
        value.simple_value = row.value
        self._writer.write_event(event)

    def _open(self) -> None:
        with _without(UNWANTED):
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event
        self._folder.mkdir(parents=True, exist_ok=True)
        self._new_event: Any = Event
        self._writer = EventsWriter(str(self._folder / "events"), MARK)


@contextlib.contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    """Has `import` find no packages of these names meanwhile, unless they are imported already."""
    hidden: dict[str, Any] = {name: None for name in names if name not in sys.modules}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def is_installed() -> bool:
    """Whether the library that writes events is here."""
    return importlib.util.find_spec("tensorboardX") is not None


def complete(rows: Iterable[Row], folder: Path) -> None:
    """Writes all events at once, unless a follower has done so."""
    if not any(folder.glob(f"*{MARK}")):
        events = Events(folder)
        events.write(rows)
        events.close()


def main(path: Path, folder: Path) -> int:
    """Follows `path` until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # it is waited for
    follower, events, stopped = Follower(path), Events(folder), False
    while not stopped:
        stopped = signal.sigtimedwait({signal.SIGTERM}, LOOK_EVERY_S) is not None
        events.write(follower.rows())
    events.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except OSError as error:
        sys.exit(f"no more TensorBoard events: cannot write to {sys.argv[2]}: {error.strerror}")
