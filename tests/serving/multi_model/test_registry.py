"""The list of models that the workers share, and how they talk to each other."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gevent.socket import socket as gevent_socket

from byo_container.serving.errors import RequestError
from byo_container.serving.multi_model.model_folders import ModelFolders
from byo_container.serving.multi_model.registry import Entry, Registry, key_of
from byo_container.serving.multi_model.worker_messages import WorkerChannel


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def entry(name: str = "a") -> Entry:
    return Entry(name, f"/opt/ml/models/{name}", Path("/x"), 7)


def test_models_are_listed_until_they_are_removed(registry: Registry, tmp_path: Path) -> None:
    old = entry()
    registry.add(old)
    other = Registry(tmp_path / "models")
    assert other.get("a") == old
    assert other.lists(old)
    registry.remove(old)
    assert other.get("a") is None
    assert not other.lists(old)
    new = entry()
    registry.add(new)
    assert other.lists(new)
    assert not other.lists(old)
    assert other.page() == ([new], "")
    registry.remove(new)
    assert not list((tmp_path / "models").iterdir())


def test_only_one_worker_claims_a_name_and_no_lock_file_stays(registry: Registry, tmp_path: Path) -> None:
    holders, most, wins = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal holders, most, wins
        for _ in range(300):
            with registry.claim("key") as ours:
                if ours:
                    with guard:
                        holders += 1
                        most, wins = max(most, holders), wins + 1
                    os.stat(tmp_path)
                    with guard:
                        holders -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert wins > 0
    assert not list((tmp_path / "models").iterdir())


def test_claimed_name_is_refused_with_409(registry: Registry) -> None:
    with registry.claimed("a"):
        with pytest.raises(RequestError) as raised, registry.claimed("a"):
            pass
        assert raised.value.status == 409
        with registry.claimed("b"):
            pass
    with registry.claimed("a"):
        pass


def test_folders_unpacked_by_a_killed_worker_are_removed(registry: Registry, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    for name in ("listed", "being loaded", "left"):
        (unpacked / key_of(name) / "v1").mkdir(parents=True)
    registry.add(entry("listed"))
    with registry.claimed("being loaded"):
        ModelFolders(tmp_path, unpacked, 0).discard_abandoned(registry)
    assert {path.name for path in unpacked.iterdir()} == {key_of("listed"), key_of("being loaded")}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A short one: a socket's path has at most 107 characters."""
    before = os.open(".", os.O_RDONLY)
    os.chdir(tmp_path)
    yield Path("control")
    os.fchdir(before)
    os.close(before)


def test_workers_answer_each_other(folder: Path) -> None:
    def fail(_: object) -> None:
        raise ValueError("no")

    first = WorkerChannel(folder, lambda request: {"first": request})
    WorkerChannel(folder, lambda request: {"second": request})
    WorkerChannel(folder, fail)
    answers = first.ask_others("x", 20)
    assert len(answers) == 2
    assert {"second": "x"} in answers
    assert None in answers  # one that cannot, which lives
    assert len(list(folder.glob("*.sock"))) == 3


def test_dead_workers_socket_counts_as_unloaded(folder: Path) -> None:
    first = WorkerChannel(folder, lambda _: None)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "1-dead.sock"))
    assert first.ask_others("x", 20) == [True]
    assert first.ask_others("x", 20) == []


def test_socket_is_visible_only_once_it_listens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket is seen only once it listens: one that refused a connection would be removed for ever."""
    seen: list[list[Path]] = []
    listen = gevent_socket.listen

    def listening(self: Any, backlog: int) -> None:
        seen.append(list(folder.glob("*.sock")))
        listen(self, backlog)

    monkeypatch.setattr(gevent_socket, "listen", listening)
    first = WorkerChannel(folder, lambda _: None)
    assert seen == [[]]
    assert len(list(folder.glob("*.sock"))) == 1
    first._server.stop()
