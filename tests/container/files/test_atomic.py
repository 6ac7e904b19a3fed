"""Files that are replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from byo_container.container.files.atomic import write_atomically


def test_a_reader_of_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "handler.json"
    write_atomically(path, "old")
    with path.open() as reader:
        write_atomically(path, "new")
        assert (reader.read(), path.read_text()) == ("old", "new")
    assert [found.name for found in tmp_path.iterdir()] == ["handler.json"]


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, mount: Callable[..., None]) -> None:
    mount(tmp_path / "disk", "size=16k")
    path = tmp_path / "disk/handler.json"
    write_atomically(path, "old")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new" * 10_000)
    assert path.read_text() == "old"
    assert [found.name for found in path.parent.iterdir()] == ["handler.json"]
