"""The ports of a job: eight in a row, the same on all of its hosts."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

COUNT = 8
LOWEST, HIGHEST = 10_000, 29_999
"""The range from which a job's ports come. The kernel hands out higher ones."""


@dataclass(frozen=True)
class Ports:
    """`coordinator` is where process 1 of the first host listens for those of the others; `master` is the frameworks'
    MASTER_PORT, and where TensorFlow's workers listen; `parameter_server` and `chief` are TensorFlow's too; `ssh` is
    where sshd listens for mpirun. The others of the eight are spare."""

    coordinator: int
    master: int
    parameter_server: int
    chief: int
    ssh: int

    @classmethod
    def starting_at(cls, first: int) -> Ports:
        """The ports of a job whose first one is `first`."""
        return cls(coordinator=first, master=first + 1, parameter_server=first + 2, chief=first + 3, ssh=first + 6)

    @classmethod
    def with_master(cls, master: int) -> Ports:
        """The ports of a job on a single host, which need not agree with other hosts."""
        return cls.starting_at(master - 1)

    @classmethod
    def of_job(cls, name: str) -> Ports:
        """The ports of the job `name`. They differ between jobs that share their hosts' network, as a rule."""
        rows = (HIGHEST + 1 - LOWEST) // COUNT
        return cls.starting_at(LOWEST + COUNT * (zlib.crc32(name.encode()) % rows))
