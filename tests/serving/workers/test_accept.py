"""When a worker accepts connections, with a real socket and an engine whose state the test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.pool import Pool

from byo_container.serving.engine.engine import FAST_QUEUE
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.workers import accept
from byo_container.serving.workers.accept import Backlog, Listener
from byo_container.serving.workers.direct_clients import Client


class Model:
    """What a listener asks of an engine."""

    def __init__(self) -> None:
        self.on_delivered: Callable[[], None] = lambda: None
        self.load_finished = True
        self.above_latency_threshold = self.all_threads_busy = self.has_enough_queued = False
        self.collects = True
        self.limit = 10

    def can_collect_next_batch(self, batches: int = 1) -> bool:
        return self.collects

    def queue_limit(self, workers: int = 1) -> int:
        return self.limit


class Place:
    """A listener, and the connections that it has accepted."""

    def __init__(self, sock: Any, model: Model) -> None:
        self.accepted: list[Any] = []
        self.address = sock.getsockname()
        self.family = sock.family
        self.listener = Listener(
            sock,
            application=SimpleNamespace(model=SimpleNamespace(engine=model)),  # type: ignore[arg-type]
            spawn=Pool(8),
            handler_class=lambda listener, client, address: self.accepted.append(client),
        )
        self.listener.start()

    def connect(self) -> int:
        """How many connections were accepted, after one more has waited for a moment."""
        client = socket.socket(self.family)
        client.connect(self.address)
        gevent.sleep(0.03)
        return len(self.accepted)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def predictions(tmp_path: Path, model: Model) -> Iterator[Place]:
    """The socket for predictions behind nginx."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(RunFolder(tmp_path).predictions_socket))
    sock.listen(8)
    place = Place(sock, model)
    yield place
    place.listener.close()


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the shared table says of the other workers."""
    others = SimpleNamespace(ready=1, free=False)
    monkeypatch.setattr(accept, "ready_workers", lambda: others.ready)
    monkeypatch.setattr(accept, "others_free", lambda: others.free)
    return others


def test_idle_worker_accepts(predictions: Place, others: SimpleNamespace) -> None:
    assert predictions.connect() == 1


def test_loading_worker_leaves_requests_to_those_that_are_ready(
    predictions: Place, model: Model, others: SimpleNamespace
) -> None:
    model.load_finished = False
    assert predictions.connect() == 0
    others.ready = 0  # then its clients get 503: the model is still being loaded
    gevent.sleep(0.03)
    assert len(predictions.accepted) == 1


def test_busy_worker_leaves_requests_to_one_that_is_free(
    predictions: Place, model: Model, others: SimpleNamespace
) -> None:
    model.all_threads_busy = others.free = True
    assert predictions.connect() == 0
    others.free = False
    gevent.sleep(0.03)
    assert len(predictions.accepted) == 1


def test_busy_worker_that_cannot_collect_waits_for_the_engine(
    predictions: Place, model: Model, others: SimpleNamespace
) -> None:
    model.all_threads_busy, model.collects = True, False
    assert predictions.connect() == 0
    model.all_threads_busy = False
    gevent.sleep(0.03)
    assert not predictions.accepted  # it does not look by itself
    model.on_delivered()
    gevent.sleep(0.03)
    assert len(predictions.accepted) == 1


def test_worker_with_a_full_batch_queued_looks_again(predictions: Place, model: Model, others: SimpleNamespace) -> None:
    model.has_enough_queued = True
    assert predictions.connect() == 0
    model.has_enough_queued = False
    gevent.sleep(0.03)
    assert len(predictions.accepted) == 1


def test_health_socket_accepts_whatever_the_model_does(tmp_path: Path, model: Model, others: SimpleNamespace) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(RunFolder(tmp_path).health_socket))
    sock.listen(8)
    model.load_finished, model.all_threads_busy, model.collects = False, True, False
    place = Place(sock, model)
    assert place.connect() == 1
    place.listener.close()


def test_without_nginx_connections_are_direct_clients(model: Model, others: SimpleNamespace) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(8)
    place = Place(sock, model)
    assert place.connect() == 1
    assert isinstance(place.accepted[0], Client)
    place.listener.close()


def test_backlog_follows_what_can_be_answered_in_time(model: Model, others: SimpleNamespace) -> None:
    limits: list[int] = []
    backlog = Backlog(SimpleNamespace(listen=limits.append), model)  # type: ignore[arg-type]
    for slow, limit in ((False, 0), (False, 0), (True, 100), (True, 110), (True, 200), (False, 0), (False, 0)):
        model.above_latency_threshold, model.limit = slow, limit
        backlog.adapt()
    assert limits == [FAST_QUEUE, 100, 200, FAST_QUEUE]
