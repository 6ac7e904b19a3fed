"""Unpacking archives that others made."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from pathlib import Path

from container.failure import JobError


def unpack(archive: Path, folder: Path, called: str | None = None) -> None:
    """Unpacks a tar archive into the empty `folder`, nothing of it outside. Raises JobError.

    Only files and folders: `filter="data"` would let links through, and has been led astray by them
    (CVE-2025-4517), while Python before 3.11.4 has no filters at all.
    """
    called = called or str(archive)
    try:
        with tarfile.open(archive) as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in tar:
                if not (member.isfile() or member.isdir()):
                    raise JobError(f"{called}: {member.name!r} is a link or a device; it may hold files and folders")
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise JobError(f"{called}: {member.name!r} would not stay in {folder}")
                tar.extract(member, folder)
            while tar.fileobj and tar.fileobj.read(1 << 20):
                pass  # to the very end, where the checksum stands
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        said = str(error).partition("\n")[0].rstrip(":")
        raise JobError(f"{called} cannot be unpacked: {said}; it may be damaged or cut off") from None
