"""Files that are whole at any moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A text file to write part after part, which takes the place of `path` when it is whole, and else is removed. What
    stands there, a link or a FIFO too, is replaced and not followed. Raises OSError."""
    building = path.with_name(f".{path.name}.new")
    building.unlink(missing_ok=True)
    try:
        # "x": what somebody else puts there meanwhile, such as a link to a file of theirs, is not written to.
        with building.open("x", encoding="utf-8", errors="backslashreplace") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        building.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            building.unlink()
        raise


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file as a whole: whoever reads it finds the old text or the new one, never a part."""
    building = path.with_name(f".{path.name}.new")
    try:
        with building.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        building.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            building.unlink()
        raise
