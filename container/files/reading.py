"""Reading files from a folder that may contain anything: FIFOs, devices, links, files of any size and number."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from byo_container.container.process.output import LONGEST_LINE

BLOCK_BYTES = 1 << 20


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file that is in its folder, not elsewhere behind a link. Raises OSError for anything else without
    opening it: to open a FIFO would wait for its writer, and to open a device may have any effect."""
    folder, target = (os.path.realpath(each, strict=True) for each in (path.parent, path))
    if os.path.commonpath([folder, target]) != folder or not stat.S_ISREG(os.stat(target).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file of this folder", str(path))
    descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # it was replaced meanwhile
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return open(descriptor, "rb")


def read_at_most(path: Path, length: int) -> bytes:
    """The content of a regular file. Raises OSError where it has more than `length` bytes."""
    with open_regular(path) as stream:
        data = stream.read(length + 1)
    if len(data) > length:
        raise OSError(errno.EFBIG, f"it is larger than {length:,} bytes", str(path))
    return data


def names_in(folder: Path, ending: str) -> Iterator[str]:
    """The names in a folder that end with `ending`, one by one, for there may be millions."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        yield from (entry.name for entry in entries if entry.name.endswith(ending))


def blocks_of_lines(path: Path, most: int) -> Iterator[bytes]:
    """The lines of a regular file, in blocks of BLOCK_BYTES plus the rest of a line. Of a file that is larger than
    `most` bytes: blocks at regular distances, of about `most` bytes in total."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        for start in range(0, size, max(BLOCK_BYTES, size * BLOCK_BYTES // most)):
            if start:  # the line with the byte before belongs to the block before
                stream.seek(start - 1)
                stream.readline(LONGEST_LINE)
            before_last = start + BLOCK_BYTES - 1
            yield stream.read(max(0, before_last - stream.tell())) + stream.readline(LONGEST_LINE)
