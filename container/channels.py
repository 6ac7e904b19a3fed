"""Input channels: the same byte streams for a handler in all input modes.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-access-training-data.html
"""

from __future__ import annotations

import fnmatch
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from byo_container.container.failure import JobError
from byo_container.container.log import log

Mode = Literal["File", "FastFile", "Pipe"]

RECORDIO_MAGIC = 0xCED7230A


@dataclass(frozen=True)
class Channel:
    """One named input: a folder (File, FastFile) or a FIFO for each epoch (Pipe).

    `path` is the folder, or in Pipe mode the common beginning of the FIFOs' paths.
    """

    name: str
    path: Path
    mode: Mode = "File"
    content_type: str | None = None
    record_wrapper: Literal["None", "RecordIO"] = "None"

    def files(self, pattern: str = "*") -> list[Path]:
        """The files whose names match `pattern`, in all subfolders, sorted, without hidden ones.

        In Pipe mode the list is empty, for data in a FIFO has no file names.
        """
        if self.mode == "Pipe":
            return []
        return sorted(
            path
            for path in self.path.rglob("*")
            if fnmatch.fnmatch(path.name, pattern) and not _is_hidden(path, self.path) and path.is_file()
        )

    def streams(self, pattern: str = "*", epoch: int = 0) -> Iterator[tuple[str, BinaryIO]]:
        """Yields a name for messages and a byte stream for each file, or for the epoch's FIFO.

        In Pipe mode `pattern` is ignored, and an epoch can be read once. Raises JobError where no file matches, or
        where the platform does not create the FIFO.
        """
        if self.mode == "Pipe":
            fifo = self._await_fifo(epoch)
            with fifo.open("rb") as stream:
                yield str(fifo), stream
            return
        paths = self.files(pattern)
        if not paths:
            raise JobError(self._nothing_matches(pattern))
        for path in paths:
            with path.open("rb") as stream:
                yield str(path), stream

    def records(self, pattern: str = "*", epoch: int = 0) -> Iterator[bytes]:
        """The payloads of the records of a channel whose RecordWrapperType is RecordIO."""
        for name, stream in self.streams(pattern, epoch):
            yield from read_recordio(stream, name)

    def _nothing_matches(self, pattern: str) -> str:
        there = [path.name for path in self.files()]
        holds = ", ".join(there[:10]) + (", ..." if len(there) > 10 else "") if there else "no file at all"
        wanted = "a file" if pattern == "*" else f"a file named like {pattern}"
        return f"channel {self.name!r} ({self.path}) needs {wanted}; it holds {holds}"

    def _await_fifo(self, epoch: int, wait_s: float = 300) -> Path:
        """Waits for the epoch's FIFO, which the platform creates shortly before it is needed."""
        fifo = self.path.with_name(f"{self.name}_{epoch}")
        deadline = time.monotonic() + wait_s
        if not fifo.exists():
            log.info("waiting up to %.0f s for %s", wait_s, fifo)
        while not fifo.exists():
            if time.monotonic() > deadline:
                raise JobError(
                    f"channel {self.name!r} is in Pipe mode, but {fifo} did not appear in {wait_s:.0f} s; "
                    "the platform should make one FIFO for each epoch, counted from 0"
                )
            time.sleep(0.05)
        return fifo


def _is_hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def read_recordio(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The records of an MXNet RecordIO stream: magic, length (little-endian), payload, padding to 4 bytes."""
    number = 0
    while header := stream.read(8):
        number += 1
        if len(header) < 8:
            raise JobError(f"{name}: record {number} is cut off in its header")
        magic, length = struct.unpack("<II", header)
        if magic != RECORDIO_MAGIC or length >> 29:
            # The top three bits mark a record in several parts, which SageMaker never writes.
            raise JobError(f"{name}: record {number} does not begin as RecordIO does (found {header.hex()})")
        payload = stream.read(length)
        stream.read(-length % 4)
        if len(payload) < length:
            raise JobError(f"{name}: record {number} should have {length} bytes and has {len(payload)}")
        yield payload
