"""Writing files as a whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from byo_container.container.files.atomic import replacing, write_atomically


def test_reader_of_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "handler.json"
    write_atomically(path, "old")
    with path.open() as reader:
        write_atomically(path, "new")
        assert (reader.read(), path.read_text()) == ("old", "new")
    assert [found.name for found in tmp_path.iterdir()] == ["handler.json"]


def test_full_disk_leaves_the_old_file_whole(tmp_path: Path, mount: Callable[..., None]) -> None:
    mount(tmp_path / "disk", "size=16k")
    path = tmp_path / "disk/handler.json"
    write_atomically(path, "old")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new" * 10_000)
    assert path.read_text() == "old"
    assert [found.name for found in path.parent.iterdir()] == ["handler.json"]


def test_writers_of_one_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "handler.json"
    with replacing(path) as slow:
        slow.write("slow, ")
        with replacing(path) as quick:
            quick.write("quick")
        assert path.read_text() == "quick"
        slow.write("last")
    assert path.read_text() == "slow, last"
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda number: write_atomically(path, str(number) * 1000), range(200)))
    assert path.read_text() in {str(number) * 1000 for number in range(200)}
    assert [found.name for found in tmp_path.iterdir()] == ["handler.json"]


def test_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "report.html") as stream:
            stream.write("half of it")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        fail()
    assert not list(tmp_path.iterdir())


def test_text_that_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    write_atomically(tmp_path / "failure", "caf\udce9")
    assert (tmp_path / "failure").read_text() == "caf\\udce9"


def test_file_may_be_read_by_others_as_the_umask_says(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "handler.json", "{}")
    assert (tmp_path / "handler.json").stat().st_mode == (tmp_path / "plain").stat().st_mode
