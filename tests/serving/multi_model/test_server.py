"""Two workers of a multi-model endpoint that act at once, step by step: both in this process, with real models."""

from __future__ import annotations

import errno
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from byo_container.container.paths import Paths
from byo_container.serving.errors import RequestError
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.multi_model import server as multi_model
from byo_container.serving.multi_model.loaded_model import LoadedModel
from byo_container.serving.multi_model.server import MultiModelServer
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import MEGABYTE, Settings

INFERENCE = """
import threading
import word

class Model:
    word = word.WORD

def model_fn(model_dir):
    go_on = threading.loading.get(word.WORD)
    if go_on:
        go_on.wait(60)
    model = Model()
    threading.made.append(model)
    return model

def input_fn(data, content_type):
    return data

def predict_fn(data, model):
    return model.word

def output_fn(prediction, accept):
    return (part for part in ["one", "two"]) if accept == "text/event-stream" else prediction
"""
# What each model takes, and a worker may have: room for one.
SIZE, ROOM = 10, 15


class Models:
    """Two workers, and models of which it is known how many are alive."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.names: list[str] = []  # of all that were made
        self._made = weakref.WeakSet[Any]()
        self.loading: dict[str, threading.Event] = {}
        monkeypatch.setattr(threading, "made", self, raising=False)
        monkeypatch.setattr(threading, "loading", self.loading, raising=False)
        settings = Settings(workers=1, models_memory=ROOM * MEGABYTE, timeout_s=30)
        self.first, self.second = (MultiModelServer(Paths(root), settings, RunFolder(root / "run")) for _ in range(2))

    def append(self, model: Any) -> None:
        self.names.append(model.word)
        self._made.add(model)

    def alive(self) -> list[str]:
        """What the models that are in memory say."""
        gc.collect()
        return sorted(model.word for model in self._made)

    def put(self, word: str) -> str:
        """The place of a model that says `word`."""
        code = self.root / "models" / word / "code"
        code.mkdir(parents=True)
        (code / "inference.py").write_text(INFERENCE)
        (code / "word.py").write_text(f"WORD = {word!r}")
        with (code.parent / "weights").open("wb") as weights:
            weights.truncate(SIZE * MEGABYTE)
        return str(code.parent)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Models]:
    (tmp_path / "models").mkdir()
    models = Models(tmp_path, monkeypatch)
    monkeypatch.setattr(
        multi_model, "resident_bytes", lambda: held_by(sys._getframe(1).f_locals["self"]) * SIZE * MEGABYTE
    )
    yield models
    for worker in (models.first, models.second):
        for loaded in list(worker._loaded.values()):
            worker._evict(loaded).join()


def held_by(worker: MultiModelServer) -> int:
    """How many models a worker has in memory, by what it knows: both are in one process here."""
    return sum(bool(one.server and one.server.load_finished) for one in {*worker._loaded.values(), *worker._evicting})


def listed(worker: MultiModelServer, name: str) -> bool:
    return worker._registry.get(name) is not None


def answer(worker: MultiModelServer, name: str, accept: str = "text/plain") -> Reply:
    return worker.respond(name, Request(b"x", "application/octet-stream", accept, lambda _: ""))


def ask(worker: MultiModelServer, name: str) -> str | int:
    """The model's word, or the status of an error."""
    try:
        return answer(worker, name).body.decode()
    except RequestError as error:
        return error.status


def until(condition: Callable[[], Any]) -> None:
    with gevent.Timeout(60):
        while not condition():
            gevent.sleep(0.001)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Until this is set, no model gets further than the beginning of its leaving memory."""
    go_on = Event()
    close = LoadedModel.close

    def slowly(loaded: LoadedModel, within_s: float) -> bool:
        go_on.wait(60)
        return close(loaded, within_s)

    monkeypatch.setattr(LoadedModel, "close", slowly)
    return go_on


def test_requests_that_wait_for_an_eviction_load_the_model_once(models: Models, held: Event) -> None:
    models.first.load("a", models.put("a"))
    held.set()
    models.first.load("b", models.put("b"))
    assert models.alive() == ["b"]
    held.clear()
    models.names.clear()
    asking = [gevent.spawn(ask, models.first, "a") for _ in range(3)]
    until(lambda: models.first._evicting)
    held.set()
    assert [one.get() for one in asking] == ["a"] * 3
    assert models.names == models.alive() == ["a"]


def test_request_that_waits_for_an_eviction_gets_404_when_the_model_is_unloaded(models: Models, held: Event) -> None:
    models.first.load("a", models.put("a"))
    held.set()
    models.first.load("b", models.put("b"))
    held.clear()
    asking = gevent.spawn(ask, models.first, "a")
    until(lambda: models.first._evicting)
    removing = gevent.spawn(models.second.unload, "a")
    until(lambda: not listed(models.second, "a"))
    held.set()
    removing.get()
    assert asking.get() == 404
    assert ask(models.first, "a") == 404
    assert "a" not in models.alive()
    models.second.load("a", models.put("a2"))
    assert ask(models.first, "a") == "a2"
    assert models.alive() == ["a2", "a2"]  # one in each worker


def test_worker_that_missed_an_unload_message_answers_with_the_new_version(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.first.load("a", models.put("a1"))
    with monkeypatch.context() as patch:  # the one that removes it dies before it can tell
        patch.setattr(models.second._channel, "ask_others", lambda *_: [])
        models.second.unload("a")
    assert models.alive() == ["a1"]
    models.second.load("a", models.put("a2"))
    assert ask(models.first, "a") == "a2"
    assert models.alive() == ["a2", "a2"]


def test_worker_that_missed_an_unload_message_answers_404_and_evicts_the_old_version(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.first.load("a", models.put("a1"))
    with monkeypatch.context() as patch:
        patch.setattr(models.second._channel, "ask_others", lambda *_: [])
        models.second.unload("a")
    assert ask(models.first, "a") == 404
    until(lambda: not models.alive())


def test_model_is_not_evicted_while_it_streams(models: Models) -> None:
    models.first.load("a", models.put("a"))
    reply = answer(models.first, "a", "text/event-stream")
    assert reply.stream
    parts = iter(reply.stream)
    assert next(parts) == b"data: one\n\n"
    with pytest.raises(RequestError, match="not enough memory"):
        models.first.load("b", models.put("b"))
    removing = gevent.spawn(models.second.unload, "a")
    until(lambda: models.first._evicting)
    assert models.alive() == ["a"]
    assert not removing.ready()
    assert list(parts) == [b"data: two\n\n"]
    reply.stream.close()
    removing.get()
    assert not models.alive()


def test_unload_breaks_off_a_stream_after_the_request_timeout(models: Models) -> None:
    models.first._settings = replace(models.first._settings, timeout_s=1)
    models.first.load("a", models.put("a"))
    reply = answer(models.first, "a", "text/event-stream")
    assert reply.stream
    models.second.unload("a")
    assert not models.alive()
    with pytest.raises(RequestError, match="removed meanwhile"):
        list(reply.stream)
    reply.stream.close()


def test_unload_waits_for_an_eviction_under_way(models: Models, held: Event) -> None:
    models.first.load("a", models.put("a"))
    loading = gevent.spawn(models.first.load, "b", models.put("b"))
    until(lambda: models.first._evicting)
    removing = gevent.spawn(models.second.unload, "a")
    until(lambda: not listed(models.second, "a"))
    gevent.sleep(0.05)
    assert not removing.ready()
    held.set()
    removing.get()
    loading.get()
    assert models.alive() == ["b"]


def test_unload_waits_for_a_worker_that_still_loads_the_model(models: Models) -> None:
    models.first.load("a", models.put("a"))
    go_on = models.loading["a"] = threading.Event()
    asking = gevent.spawn(ask, models.second, "a")
    until(lambda: "a" in models.second._loaded and models.second._loaded["a"].is_loading)
    removing = gevent.spawn(models.first.unload, "a")
    until(lambda: models.second._evicting)
    assert not removing.ready()
    go_on.set()
    assert asking.get() == "a"  # it was there when it was called
    removing.get()
    assert not models.alive()
    assert ask(models.second, "a") == 404


def test_model_is_not_listed_while_it_is_loaded(models: Models) -> None:
    go_on = models.loading["a"] = threading.Event()
    loading = gevent.spawn(models.first.load, "a", models.put("a"))
    until(lambda: "a" in models.first._loaded and models.first._loaded["a"].is_loading)
    assert [ask(worker, "a") for worker in (models.first, models.second)] == [404, 404]
    with pytest.raises(RequestError, match="at this moment"):
        models.second.load("a", "")
    with pytest.raises(RequestError, match="there is no model"):
        models.second.unload("a")
    go_on.set()
    loading.get()
    assert [ask(worker, "a") for worker in (models.first, models.second)] == ["a", "a"]


def test_load_that_cannot_be_listed_leaves_nothing(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    url = models.put("a")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "symlink_to", full)
        with pytest.raises(RequestError) as raised:
            models.first.load("a", url)
    assert raised.value.status == 507
    assert not models.alive()
    assert not list((models.root / "run" / "models").iterdir())
    models.first.load("a", url)
    assert ask(models.second, "a") == "a"


def test_failed_load_fails_all_waiting_requests_and_is_retried(models: Models) -> None:
    models.first.load("a", models.put("a"))
    script = models.root / "models" / "a" / "code" / "inference.py"
    text = script.read_text()
    script.write_text("raise ValueError")
    asking = [gevent.spawn(ask, models.second, "a") for _ in range(3)]
    assert [one.get() for one in asking] == [500] * 3
    script.write_text(text)
    assert ask(models.second, "a") == "a"


def test_models_that_are_loading_count_with_their_size_on_disk(models: Models) -> None:
    go_on = models.loading["a"] = threading.Event()
    first = gevent.spawn(models.first.load, "a", models.put("a"))
    until(lambda: "a" in models.first._loaded and models.first._loaded["a"].is_loading)
    second = gevent.spawn(models.first.load, "b", models.put("b"))
    until(lambda: "b" in models.first._loaded)
    gevent.sleep(0.05)
    assert not models.first._loaded["b"].server
    go_on.set()
    first.get()
    second.get()
    assert models.alive() == ["b"]
    assert [ask(models.first, name) for name in "ab"] == ["a", "b"]
