"""Files that are whole at any moment."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Opens a text file to be written part by part. It takes the place of `path` when the block ends, and is removed
    when the block raises. A link or a FIFO at `path` is replaced, not followed. Raises OSError.

    A reader finds the old content or the new one, never a part. Of several writers at once, the last to end wins.
    """
    # A name of its own, and "x": no other writer's file is overwritten, and no link that was put there is followed.
    building = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
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
    """Replaces the content of a file as a whole, see `replacing`. Raises OSError."""
    with replacing(path) as stream:
        stream.write(text)
