"""Writing to folders that may be full, or not ours to write to: errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from byo_container.container.failure import JobError

UNFINISHED = ".unfinished-"  # what the names of files begin with while they are written


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Makes whatever goes wrong with writing below `folder` a JobError that says what to do."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        # HDF5 hides the system's error number in a text, at times in a RuntimeError.
        number = getattr(error, "errno", None) or _number_in(str(error))
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise JobError(
                f"cannot write to {folder}: the disk is full; free some space or ask for a larger volume. "
                "What was saved there before is whole"
            ) from error
        if isinstance(error, OSError) or number is not None:
            reason = os.strerror(number) if number else str(error)
            raise JobError(
                f"cannot write to {folder}: {reason}; it should be a folder in which this user "
                f"(uid {os.getuid()}) may make files"
            ) from error
        raise


def _number_in(text: str) -> int | None:
    found = re.search(r"errno = (\d+)|\[Errno (\d+)\]", text)
    if found:
        return int(found[1] or found[2])
    return errno.ENOSPC if os.strerror(errno.ENOSPC) in text else None


def check_writable(folder: Path) -> None:
    """JobError now, rather than after an hour of training, where `folder` cannot be written to."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # A name of its own: the ranks of a host try the same folder at the same moment.
        with tempfile.NamedTemporaryFile(prefix=UNFINISHED, dir=folder) as probe:
            probe.write(b"x")
