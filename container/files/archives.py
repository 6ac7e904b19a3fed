"""Unpacking archives of unknown origin."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zlib
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.container.files.disk_space import FULL

# Far more than code and models have. More would fill a disk with empty files, or exceed Python's recursion limit.
MOST_MEMBERS = 500_000
MOST_FOLDERS_DEEP = 100
BLOCK = 4096  # of a disk: a file takes whole blocks
FREE_SHARE = 16  # one part in 16 of the free space is left to other programs that write to that disk


class ArchiveSizeError(JobError):
    """The content of an archive is too large."""


def unpack(archive: Path, folder: Path, called: str | None = None, most_bytes: int | None = None) -> None:
    """Unpacks a tar archive into the empty `folder`, and nothing outside of it: at most `most_bytes`, and never so much
    that the disk gets full. Messages use the name `called`. Raises JobError, after which a part may have been written.

    Only files and folders are allowed: `filter="data"` would accept links, which have deceived it (CVE-2025-4517), and
    Python before 3.11.4 has no filters at all.
    """
    called = called or str(archive)
    try:
        _extract(archive, folder, called, most_bytes)
    except OSError as error:
        if error.errno in FULL:
            raise ArchiveSizeError(f"{called} cannot be unpacked: the disk is full") from None
        raise _cannot(called, error) from None
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _cannot(called, error) from None
    except (ValueError, OverflowError, RecursionError) as error:  # names, times and sizes that no file can have
        raise _cannot(called, error) from None


def _cannot(called: str, error: Exception) -> JobError:
    reason = str(error).partition("\n")[0].rstrip(":")
    damaged = isinstance(error, tarfile.TarError | EOFError | zlib.error | lzma.LZMAError | gzip.BadGzipFile)
    return JobError(f"{called} cannot be unpacked: {reason}" + "; it may be damaged or cut off" * damaged)


def _extract(archive: Path, folder: Path, called: str, most_bytes: int | None) -> None:
    size, for_others = 0, shutil.disk_usage(folder).free // FREE_SHARE
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        for number, member in enumerate(iter(tar.next, None), 1):
            tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all of them in memory
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
            pass  # up to the checksum at the very end


def _check(member: tarfile.TarInfo, number: int, folder: Path, called: str) -> None:
    """Raises JobError for a member that must not be unpacked."""
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
