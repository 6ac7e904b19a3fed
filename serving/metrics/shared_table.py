"""Numbers that all processes of one server share: a file that each of them maps, with a row for every process.

A process adds to its own row only, so nothing is locked; every process may read all rows. A replacement process reuses
its predecessor's row, so counters survive worker restarts.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TypeAlias

Row: TypeAlias = "memoryview[float]"
# The rows: `serve` itself (it counts what nginx answers without a worker), gunicorn's arbiter, and then the workers.
SERVE, ARBITER, FIRST_WORKER = 0, 1, 2


class SharedTable:
    """The table as one process sees it. Until `bind`, and after `unbind`, the process has a row that nobody shares."""

    def __init__(self) -> None:
        self._width = 0
        self.own = _private_row(0)
        """The row of this process."""
        self.rows: list[Row] = [self.own]
        self.workers: list[Row] = []
        """The rows of all workers, also of those that are not there; none in a process that stands alone."""

    def new_column(self) -> int:
        """The number of a column that nobody has yet. All columns are made before `create` and `bind`."""
        self._width += 1
        self.own = _private_row(self._width)
        self.rows = [self.own]
        return self._width - 1

    def create(self, path: Path, workers: int) -> None:
        """Makes the file, all numbers 0, with room for workers that overlap in a rolling restart. It is written in
        full: a hole that a full disk cannot fill later would kill the process that writes there."""
        path.write_bytes(bytes(8 * self._width * (FIRST_WORKER + 3 * workers + 5)))

    def bind(self, path: Path, number: int) -> None:
        """From now on this process reads the file that another one has made, and writes to row `number` of it."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            numbers = memoryview(mmap.mmap(descriptor, 0)).cast("d")
        finally:
            os.close(descriptor)
        self.rows = [numbers[start : start + self._width] for start in range(0, len(numbers), self._width)]
        self.workers = self.rows[FIRST_WORKER:]
        self.own = self.rows[number]

    def unbind(self) -> None:
        """From now on nobody sees what this process counts."""
        self.own = _private_row(self._width)


def _private_row(width: int) -> Row:
    return memoryview(bytearray(8 * width)).cast("d")
