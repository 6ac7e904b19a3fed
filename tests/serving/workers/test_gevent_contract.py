"""What we use of gevent beyond its documentation, all of it in this file.

A test that fails here after an update of gevent says which of our modules rests on what has changed.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.baseserver import BaseServer
from gevent.server import StreamServer

import byo_container.serving

SERVING = Path(byo_container.serving.__file__).parent


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_do_read", ["self"]),
        ("_start_accepting_if_started", ["self", "_event"]),
        ("do_read", ["self"]),
        ("start_accepting", ["self"]),
        ("stop_accepting", ["self"]),
    ],
)
def test_signatures(name: str, parameters: list[str]) -> None:
    """accept.py overrides or calls these."""
    assert [*inspect.signature(getattr(BaseServer, name)).parameters] == parameters, f"BaseServer.{name}: see accept.py"


def listening() -> Any:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)
    return listener


class Server(StreamServer):  # type: ignore[misc]
    """Counts how often the loop finds a connection that waits, and leaves it there."""

    accepts = False

    def __init__(self, listener: Any) -> None:
        self.seen = 0
        self.accepted: list[Any] = []
        super().__init__(listener, lambda sock, address: self.accepted.append(sock))

    def _do_read(self) -> None:
        self.seen += 1
        if self.accepts:
            super()._do_read()
        else:
            self.stop_accepting()


def test_do_read_decides_whether_a_connection_is_accepted() -> None:
    """accept.py: all back-pressure rests on this."""
    listener = listening()
    server = Server(listener)
    server.start()
    with socket.create_connection(listener.getsockname()), gevent.Timeout(5):
        while not server.seen:
            gevent.sleep(0.001)
        gevent.sleep(0.02)
        assert (server.seen, server.accepted) == (1, []), "after stop_accepting the loop must not look again"
        server.accepts = True
        server._start_accepting_if_started()
        while not server.accepted:
            gevent.sleep(0.001)
    server.close()
    server._start_accepting_if_started()
    assert server._watcher is None, "a server that was closed must not accept again"


def test_do_read_returns_a_connection_and_its_address() -> None:
    """accept.py makes a direct_clients.Client of the connection."""
    listener = listening()
    server = StreamServer(listener, lambda *_: None)
    assert server.do_read() is None  # nobody waits
    with socket.create_connection(listener.getsockname()) as client, gevent.Timeout(5):
        while (accepted := server.do_read()) is None:
            gevent.sleep(0.001)
        connection, address = accepted
        assert address == client.getsockname()
        assert (connection.family, connection.type) == (client.family, client.type)
        connection.close()
    server.close()


def test_loop_has_what_the_engine_and_the_listener_use() -> None:
    """engine/: async_ and run_callback; accept.py: timer, by the `loop` of a server."""
    loop = gevent.get_hub().loop
    called: list[str] = []
    watcher, timer = loop.async_(), loop.timer(0.001)
    watcher.start(lambda: called.append("async"))
    timer.start(lambda: called.append("timer"))
    loop.run_callback(called.append, "callback")
    watcher.send()
    with gevent.Timeout(5):
        while len(called) < 3:
            gevent.sleep(0.001)
    assert sorted(called) == ["async", "callback", "timer"]
    for one in (watcher, timer):
        one.stop()
        one.close()


def test_waiter_hands_a_value_over() -> None:
    """engine/queue.py: a greenlet waits for the outcome of its request."""
    waiter = gevent.hub.Waiter()
    gevent.get_hub().loop.run_callback(waiter.switch, "outcome")
    assert waiter.get() == "outcome"
    assert hasattr(waiter, "greenlet")


def test_private_names_are_known_to_workers_alone() -> None:
    names = re.compile(r"\b(_do_read|_start_accepting_if_started|_watcher|_semaphore)\b")
    knows = {path.relative_to(SERVING).parts[0] for path in SERVING.rglob("*.py") if names.search(path.read_text())}
    assert knows == {"workers"}
