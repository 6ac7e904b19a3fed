"""What is left beside a model: handler.json and the code, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byo_container.container import manifest
from byo_container.container.discovery import HandlerReference, find_for_serving
from tests.support.tree import Tree, write_files

MakeTree = Callable[..., Tree]


def test_a_model_remembers_its_handler_and_its_code(ml: MakeTree) -> None:
    tree = ml(code={"mine.py": "1", "sub/data.txt": "2", "__pycache__/mine.pyc": "3", ".git/config": "4"})
    tree.paths.model.mkdir()
    manifest.keep("mine:Mine", tree.paths)
    model = tree.paths.model
    assert json.loads((model / "handler.json").read_text()) == {"handler": "mine:Mine"}
    assert files_below(model / "code") == {"mine.py": "1", "sub/data.txt": "2"}
    found = find_for_serving(tree.paths, {})
    assert found == HandlerReference("mine:Mine", str(model / "handler.json"))
    assert find_for_serving(tree.paths, {"MODEL_HANDLER": "their:Mine"}).target == "their:Mine"  # type: ignore[union-attr]


def files_below(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != manifest.KEPT
    }


def test_kept_code_of_an_older_run_is_replaced(ml: MakeTree) -> None:
    tree = ml(code={"old.py": "1"})
    tree.paths.model.mkdir()
    manifest.keep_code(tree.paths)
    (tree.paths.code / "old.py").unlink()
    write_files(tree.paths.code, {"new.py": "2"})
    manifest.keep_code(tree.paths)
    assert files_below(tree.paths.model) == {"code/new.py": "2"}


def test_what_a_killed_job_left_of_the_copying_is_removed(ml: MakeTree) -> None:
    tree = ml(code={"train.py": "1"})
    manifest.keep_code(tree.paths)
    write_files(tree.paths.model, {".code.old/train.py": "0", ".code.new/half.py": "0"})
    write_files(tree.paths.code, {"train.py": "2"})
    manifest.keep_code(tree.paths)
    assert files_below(tree.paths.model) == {"code/train.py": "2"}


def test_code_that_the_training_put_there_itself_stays(ml: MakeTree) -> None:
    tree = ml(code={"train.py": "1"})
    write_files(tree.paths.model / "code", {"inference.py": "theirs"})
    manifest.keep_code(tree.paths)
    assert files_below(tree.paths.model) == {"code/inference.py": "theirs"}


def test_full_disk_leaves_no_partial_copy_of_the_code(ml: MakeTree, mount: Callable[..., None]) -> None:
    tree = ml(code={"a.py": "1"})
    mount(tree.paths.model, "size=64k")
    manifest.keep_code(tree.paths)
    write_files(tree.paths.code, {"b.bin": "x" * 100_000})
    with pytest.raises(OSError, match="No space left"):
        manifest.keep_code(tree.paths)
    assert files_below(tree.paths.model) == {"code/a.py": "1"}
    assert [path.name for path in tree.paths.model.iterdir()] == ["code"]


def test_full_disk_is_a_warning(ml: MakeTree, mount: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    tree = ml(code={"mine.py": "1", "b.bin": "x" * 100_000})
    mount(tree.paths.model, "size=64k")
    manifest.keep("mine:Mine", tree.paths)
    assert [path.name for path in tree.paths.model.iterdir()] == ["handler.json"]
    place = tree.paths.model / "code"
    assert f"cannot be copied to {place}: [Errno 28] No space left on device" in caplog.text
    (tree.paths.model / "handler.json").unlink()
    (tree.paths.model / "model.bin").write_bytes(b"x" * (64 * 1024))
    manifest.keep("mine:Mine", tree.paths)
    assert "handler.json cannot be written: No space left on device" in caplog.text
    assert "served with MODEL_HANDLER=mine:Mine in the environment" in caplog.text


def test_changes_notices_every_write_below_a_folder(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/model.bin": "1", "b": "2"})
    before = manifest.changes(tmp_path)
    assert manifest.changes(tmp_path) == before
    (tmp_path / "empty").mkdir()
    assert manifest.changes(tmp_path) == before
    # As `cp -p` leaves it: as long and as old as the last one.
    kept = (tmp_path / "b").stat()
    (tmp_path / "b").write_text("3")
    os.utime(tmp_path / "b", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert manifest.changes(tmp_path) != before
    assert manifest.changes(tmp_path / "nowhere") == {}


def nest(folder: Path, levels: int) -> None:
    """Folders in one another, below `folder`."""
    place = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(levels):
            os.mkdir("d")
            os.chdir("d")
        Path("deepest").touch()
    finally:
        os.chdir(place)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Nests 1,500 folders in the folder given, and removes them afterwards, which pytest could not."""
    nested: list[Path] = []

    def make(folder: Path) -> None:
        nested.append(folder / "d")
        nest(folder, 1500)

    yield make
    subprocess.run(["rm", "-rf", *nested], check=True)  # noqa: S607


def test_changes_of_deeply_nested_folders(tmp_path: Path, deep: Callable[[Path], None]) -> None:
    deep(tmp_path)
    before = manifest.changes(tmp_path)
    assert [Path(path).name for path in before] == ["deepest"]
    (tmp_path / "more").touch()
    assert manifest.changes(tmp_path) != before


def test_changes_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "a/nowhere").symlink_to("/nowhere/at/all")
    assert sorted(manifest.changes(tmp_path)) == [str(tmp_path / "a/loop"), str(tmp_path / "a/nowhere")]


def test_fifos_sockets_and_deep_folders_are_not_copied(
    ml: MakeTree, deep: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    tree = ml(code={"inference.py": "1", "sub/data.txt": "2"})
    code, model = tree.paths.code, tree.paths.model
    model.mkdir()
    os.mkfifo(code / "sub/fifo")
    (code / "link").symlink_to("sub/data.txt")
    with socket.socket(socket.AF_UNIX) as server:
        with contextlib.chdir(code):  # a socket's path has 108 bytes at most
            server.bind("socket")
        deep(code)
        for _ in range(2):  # the second one replaces the first
            manifest.keep_code(tree.paths)
    kept = model / "code"
    assert {path.name for path in kept.iterdir()} == {"inference.py", "sub", "link", "d", manifest.KEPT}
    assert (kept / "link").is_symlink()
    assert [path.name for path in (kept / "sub").iterdir()] == ["data.txt"]
    assert len(list(kept.rglob("d"))) == manifest.MAX_DEPTH
    (line, _) = [message for message in caplog.messages if "left out" in message]
    assert line.startswith(f"left out of the code in {kept}: ")
    assert all(part in line for part in ("sub/fifo (no regular file)", "socket (no regular file)", "... (too deep)"))


def test_a_model_folder_in_the_code_is_not_copied_into_itself(ml: MakeTree, caplog: pytest.LogCaptureFixture) -> None:
    tree = ml(code={"inference.py": "1"})
    paths = tree.paths
    paths.code.joinpath("out").mkdir()
    paths.model.symlink_to(paths.code / "out")
    write_files(paths.model, {"model.bin": "2"})
    manifest.keep(None, paths)
    assert files_below(paths.model) == {"code/inference.py": "1", "model.bin": "2"}
    assert "out (the model folder)" in caplog.text


def test_removed_model_folder_is_made_again(ml: MakeTree) -> None:
    tree = ml(code={"inference.py": "1", "sub/data.txt": "2"})
    manifest.keep(None, tree.paths)
    assert files_below(tree.paths.model) == {"code/inference.py": "1", "code/sub/data.txt": "2"}


def test_any_error_of_copying_code_is_a_warning(
    ml: MakeTree, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(paths: object) -> None:
        raise RecursionError("too deep")

    tree = ml(code={"inference.py": "1"})
    monkeypatch.setattr(manifest, "keep_code", fails)
    manifest.keep(None, tree.paths)
    assert "cannot be copied" in caplog.text
    assert "RecursionError: too deep" in caplog.text
