"""Errors of full or read-only disks, and of copying, as messages that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.container.files.disk_space import FULL

UNFINISHED = ".unfinished-"  # the beginning of a file's name while it is written
SHORT_WRITE = r"inline_container.*(unexpected pos|file write failed)"  # what PyTorch's torch.save tells of a full disk
MOST_COPY_ERRORS = 3  # in a message


@contextlib.contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Turns disk-full and permission errors below `folder` into a JobError with advice."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        # HDF5 and safetensors hide the system's error number in the message, at times of a RuntimeError.
        number = getattr(error, "errno", None) or _number_in(str(error))
        if number in FULL:
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
    match = re.search(r"errno = (\d+)|\[Errno (\d+)\]", text)
    if match:
        return int(match[1] or match[2])
    is_full = os.strerror(errno.ENOSPC) in text or re.search(SHORT_WRITE, text)
    return errno.ENOSPC if is_full else None


def check_writable(folder: Path) -> None:
    """Raises JobError where `folder` cannot be written to: now, rather than after an hour of training."""
    with disk_errors_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # A unique name, for the ranks of a host check the same folder at the same moment.
        with tempfile.NamedTemporaryFile(prefix=UNFINISHED, dir=folder) as probe:
            probe.write(b"x")


def copy_error(error: Exception) -> str:
    """Why a copy failed. copytree goes on after an error and collects all of them: the first three."""
    if not (isinstance(error, shutil.Error) and isinstance(error.args[0], list)):
        return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    faults = [why if str(source) in why else f"{why} ({source})" for source, _, why in error.args[0]]
    more = f"; and {len(faults) - MOST_COPY_ERRORS} more" if len(faults) > MOST_COPY_ERRORS else ""
    return "; ".join(faults[:MOST_COPY_ERRORS]) + more
