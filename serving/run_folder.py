"""The folder that one run of `serve` keeps its sockets and temporary files in."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "byo-serve-"
LOCK = "lock"
DRAINING = "draining"  # a file that says that the server is about to end


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """A new one, removed at the end. Those that runs left which were killed are removed first: nobody holds their
    locks any more."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{PREFIX}*"):
        _remove_if_abandoned(left)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        # Held until the process ends. Not handed on to children, so it says whether `serve` itself lives.
        descriptor = os.open(Path(name) / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(descriptor)


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(OSError):  # another user's, one that is held, or one that has just been made and has no lock yet
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
