"""Unpacking archives that others made."""

from __future__ import annotations

import errno
import gzip
import lzma
import shutil
import tarfile
import zlib
from pathlib import Path

from byo_container.container.failure import JobError

# Far above what code and models have. More would fill a disk with empty files, or exceed what Python can walk through.
MOST_MEMBERS = 500_000
MOST_FOLDERS_DEEP = 100
BLOCK = 4096  # of a disk: a file takes whole ones
LEFT_TO_OTHERS = 16  # who write to that disk too: of what is free, one part in so many


class ArchiveSizeError(JobError):
    """What is in the archive has no room here."""


def unpack(archive: Path, folder: Path, called: str | None = None, most_bytes: int | None = None) -> None:
    """Unpacks a tar archive into the empty `folder`, nothing of it outside: at most `most_bytes`, and never so much
    that the disk would be full. Raises JobError, and may have written a part of it then.

    Only files and folders: `filter="data"` would let links through, and has been led astray by them
    (CVE-2025-4517), while Python before 3.11.4 has no filters at all.
    """
    called = called or str(archive)
    try:
        _extract(archive, folder, called, most_bytes)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArchiveSizeError(f"{called} cannot be unpacked: the disk is full") from None
        raise _cannot(called, error) from None
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _cannot(called, error) from None
    except (ValueError, OverflowError, RecursionError) as error:  # names, times and sizes that no file has
        raise _cannot(called, error) from None


def _cannot(called: str, error: Exception) -> JobError:
    said = str(error).partition("\n")[0].rstrip(":")
    damaged = isinstance(error, tarfile.TarError | EOFError | zlib.error | lzma.LZMAError | gzip.BadGzipFile)
    return JobError(f"{called} cannot be unpacked: {said}" + "; it may be damaged or cut off" * damaged)


def _extract(archive: Path, folder: Path, called: str, most_bytes: int | None) -> None:
    size, for_others = 0, shutil.disk_usage(folder).free // LEFT_TO_OTHERS
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        for number, member in enumerate(iter(tar.next, None), 1):
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
            _check(member, number, folder, called)
            size += -(-member.size // BLOCK) * BLOCK
            if most_bytes is not None and size > most_bytes:
                raise ArchiveSizeError(f"{called} holds more than the {most_bytes >> 20} MB that a model may take here")
            if member.size > shutil.disk_usage(folder).free - for_others:
                raise ArchiveSizeError(
                    f"{called} has no room on the disk of {folder}: it holds {size >> 20} MB and more"
                )
            tar.extract(member, folder)
        while tar.fileobj and tar.fileobj.read(1 << 20):
            pass  # to the very end, where the checksum stands


def _check(member: tarfile.TarInfo, number: int, folder: Path, called: str) -> None:
    """Raises JobError for what is not to be unpacked."""
    if not (member.isfile() or member.isdir()):
        raise JobError(f"{called}: {member.name!r} is a link or a device; it may hold files and folders")
    if member.size < 0:
        raise JobError(f"{called} cannot be unpacked: {member.name!r} has {member.size} bytes; it may be damaged")
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts:
        raise JobError(f"{called}: {member.name!r} would not stay in {folder}")
    if len(parts) > MOST_FOLDERS_DEEP:
        raise JobError(
            f"{called}: {member.name[:50]!r}… lies in {len(parts) - 1} folders; it may lie in {MOST_FOLDERS_DEEP}"
        )
    if number > MOST_MEMBERS:
        raise JobError(f"{called} holds more than {MOST_MEMBERS:,} files and folders")
