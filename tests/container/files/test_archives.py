"""Archives that cannot be unpacked: each is an error in words, and never fills a disk."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.files import archives
from byo_container.container.files.archives import ArchiveSizeError, unpack


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, content


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for made, content in members:
            tar.addfile(made, io.BytesIO(content))
    return path


BROKEN = {
    "a file where a folder is": [member("a"), member("a/b")],
    "a name too long": [member("x" * 300)],
    "a NUL": [member("a", pax_headers={"path": "a\0b"})],
    "a time that is none": [member("a", pax_headers={"mtime": "nan"})],
    "a time in the far future": [member("a", pax_headers={"mtime": "1e300"})],
    "deep folders": [member("d/" * 1100 + "x")],
    "very deep folders": [member("d/" * 2000 + "x")],
    "folders deeper than may be": [member("d/" * (archives.MOST_FOLDERS_DEEP + 1) + "x")],
}


@pytest.mark.parametrize("members", BROKEN.values(), ids=BROKEN)
def test_bad_archive_is_a_joberror(tmp_path: Path, members: Any) -> None:
    path = archive(tmp_path / "broken.tar.gz", *members)
    (tmp_path / "into").mkdir()
    with pytest.raises(JobError, match=r"broken\.tar\.gz") as raised:
        unpack(path, tmp_path / "into")
    assert len(str(raised.value)) < 500
    assert not isinstance(raised.value, ArchiveSizeError)


def test_deepest_allowed_folder_is_unpacked(tmp_path: Path) -> None:
    name = "d/" * (archives.MOST_FOLDERS_DEEP - 1) + "x"
    (tmp_path / "into").mkdir()
    unpack(archive(tmp_path / "deep.tar.gz", member(name, b"1")), tmp_path / "into")
    assert (tmp_path / "into" / name).read_bytes() == b"1"


def test_archive_larger_than_the_limit_or_the_disk_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "large.tar.gz", member("a", bytes(1 << 20)), member("b", bytes(1 << 20)))
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveSizeError, match="more than the 1 MB that a model may take"):
        unpack(path, tmp_path / "into", most_bytes=1 << 20)
    unpack(path, tmp_path / "into", most_bytes=2 << 20)


def test_small_files_count_as_whole_blocks(tmp_path: Path) -> None:
    path = archive(tmp_path / "small.tar.gz", *(member(str(number), b"x") for number in range(300)))
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveSizeError):
        unpack(path, tmp_path / "into", most_bytes=1 << 20)
    assert len(list((tmp_path / "into").iterdir())) == 256


def test_member_larger_than_the_disk_is_not_begun(tmp_path: Path) -> None:
    """A sparse one takes next to nothing in the archive."""
    made = tarfile.TarInfo("sparse")
    made.size = 0
    made.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "sparse"}
    made.pax_headers |= {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**15)}
    path = archive(tmp_path / "sparse.tar.gz", (made, b""))
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveSizeError, match="no room on the disk"):
        unpack(path, tmp_path / "into")
    assert not list((tmp_path / "into").iterdir())


def test_part_of_the_disk_is_left_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into = tmp_path / "into"
    into.mkdir()
    usage = namedtuple("usage", "total used free")
    megabytes = 16

    def disk_usage(_: Path) -> Any:
        used = sum(path.stat().st_size for path in into.iterdir())
        return usage(0, used, (megabytes << 20) - used)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    path = archive(tmp_path / "fills.tar.gz", *(member(str(number), bytes(1 << 20)) for number in range(megabytes)))
    with pytest.raises(ArchiveSizeError, match=r"no room on the disk of .*: it holds 16 MB and more"):
        unpack(path, into)
    assert len(list(into.iterdir())) == megabytes - 1


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    (tmp_path / "into").mkdir()
    unpack(archive(tmp_path / "x.tar.gz", *(member(name) for name in "abc")), tmp_path / "into")
    with pytest.raises(JobError, match="more than 3 files"):
        unpack(archive(tmp_path / "y.tar.gz", *(member(name) for name in "abcd")), tmp_path / "into")
