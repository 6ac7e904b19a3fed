"""Which connections a worker ends, and whose computations it gives up."""

from __future__ import annotations

import socket
from typing import Any

import gevent
import pytest

from byo_container.serving.engine.engine import abandoned
from byo_container.serving.workers import connections
from byo_container.serving.workers.connections import Connections


def pair() -> tuple[Any, Any]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


def ended(sock: Any) -> bool:
    """Whether a greenlet that waits for the client would see the end of its input."""
    try:
        return bool(sock.recv(1) == b"")
    except BlockingIOError:
        return False


def test_only_idle_connections_end() -> None:
    held = Connections()
    (idle, _1), (busy, _2), (again, _3) = pairs = [pair() for _ in range(3)]
    for ours, _ in pairs:
        held.open(ours)
    held.begin_request(busy)
    held.begin_request(again)
    held.end_request(again)
    held.end_idle()
    assert [ended(sock) for sock in (idle, busy, again)] == [True, False, True]


def test_connection_that_has_been_idle_longest_makes_room() -> None:
    held = Connections()
    (first, _1), (second, _2), (new, _3) = pairs = [pair() for _ in range(3)]
    for ours, _ in pairs:
        held.open(ours)
    held.begin_request(first)
    held.end_request(first)  # the second one has been idle for longer
    held.make_room_for(new)
    assert [ended(sock) for sock in (first, second, new)] == [False, True, False]


def test_new_connection_does_not_make_room_for_itself() -> None:
    held = Connections()
    (busy, _1), (new, _2) = pair(), pair()
    held.open(busy)
    held.begin_request(busy)
    held.open(new)
    held.make_room_for(new)
    assert not ended(new)


def test_closed_connections_are_forgotten() -> None:
    held = Connections()
    ours, _ = pair()
    held.open(ours)
    assert (len(held), held.all()) == (1, [ours])
    held.close(ours)
    assert (len(held), held.all()) == (0, [])
    held.end_idle()


def test_computations_of_disconnected_clients_are_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LONG_WAIT_S", 0.0)
    held, (staying, _theirs), (leaving, client) = Connections(), pair(), pair()
    done = gevent.event.Event()

    def predict(sock: Any) -> None:
        held.begin_prediction(sock)
        done.wait()
        held.end_prediction(sock)

    greenlets = [gevent.spawn(predict, sock) for sock in (staying, leaving)]
    gevent.sleep(0.01)
    client.close()
    held.abandon_disconnected()
    assert [greenlet in abandoned for greenlet in greenlets] == [False, True]
    done.set()
    gevent.joinall(greenlets)
    assert not abandoned & set(greenlets)
