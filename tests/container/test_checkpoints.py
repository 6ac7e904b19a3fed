"""Checkpoints: whole or not there, the older ones kept as long as the new one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from byo_container.container.checkpoints import Checkpoints


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", ".txt")


def numbers(checkpoints: Checkpoints) -> list[int]:
    return [number for number, _ in checkpoints.newest_first()]


def test_newest_two_checkpoints_are_kept(checkpoints: Checkpoints) -> None:
    assert numbers(checkpoints) == []
    for number in (1, 2, 10, 9):
        checkpoints.save(number, lambda path, number=number: path.write_text(str(number)))  # type: ignore[misc]
    assert [(number, path.read_text()) for number, path in checkpoints.newest_first()] == [(10, "10"), (9, "9")]


def test_failed_save_leaves_the_older_checkpoints(checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints.save(1, lambda path: path.touch())

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    checkpoints.save(2, fail)
    assert numbers(checkpoints) == [1]
    assert "checkpoint 2 cannot be saved" in caplog.text
    assert [path.name for path in checkpoints.folder.iterdir()] == ["checkpoint-000001.txt"]


def test_kill_while_saving_leaves_no_partial_checkpoint(checkpoints: Checkpoints) -> None:
    class Killed(BaseException):
        pass

    def die(path: Path) -> None:
        path.write_text("half")
        raise Killed

    with pytest.raises(Killed):
        checkpoints.save(1, die)
    assert numbers(checkpoints) == []


def test_other_files_in_the_folder_are_ignored(checkpoints: Checkpoints) -> None:
    checkpoints.save(3, lambda path: path.touch())
    for name in ("checkpoint-x.txt", "checkpoint-000004.pt", "notes"):
        (checkpoints.folder / name).touch()
    assert numbers(checkpoints) == [3]
