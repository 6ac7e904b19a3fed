"""Numbers that all processes of one server share: a file that each maps, with a row for every process.

A process writes only its own row, so nothing is ever locked; anybody may read all of them. Rows outlive the
processes: who comes next in a row goes on counting where the last one was killed.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path


class Table:
    """`rows` times `width` numbers (8-byte floats, all 0 at first)."""

    def __init__(self, buffer: mmap.mmap, width: int) -> None:
        self.width = width
        self._numbers = memoryview(buffer).cast("d")
        self.rows = len(self._numbers) // width

    @classmethod
    def create(cls, path: Path, rows: int, width: int) -> Table:
        """A new file. Written in full: a hole that a full disk cannot fill later would kill who writes there."""
        path.write_bytes(bytes(8 * rows * width))
        return cls.open(path, width)

    @classmethod
    def open(cls, path: Path, width: int) -> Table:
        """The file that another process has made."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            return cls(mmap.mmap(descriptor, 0), width)
        finally:
            os.close(descriptor)

    @classmethod
    def private(cls, width: int) -> Table:
        """One row that nobody shares."""
        return cls(mmap.mmap(-1, 8 * width), width)

    def row(self, number: int) -> memoryview[float]:
        """The numbers of one process, to be read and written in place."""
        return self._numbers[number * self.width : (number + 1) * self.width]
