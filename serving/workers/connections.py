"""The connections of one worker: which are idle, how old they are, and which of their clients wait for a prediction."""

from __future__ import annotations

import time
from typing import Any

import gevent

from byo_container.serving.engine.engine import abandoned
from byo_container.serving.sockets import client_disconnected, stop_reading

# A client whose request has waited for longer may have disconnected meanwhile.
LONG_WAIT_S = 1.0


class Connections:
    """For the greenlets of one worker, each of which handles one connection."""

    def __init__(self) -> None:
        self._opened: dict[Any, float] = {}  # all connections, with the time at which each was accepted
        self._idle: dict[Any, None] = {}  # those without a request at the moment, longest first
        self._predicting: dict[Any, tuple[float, gevent.Greenlet]] = {}  # since when, and in which greenlet

    def __len__(self) -> int:
        return len(self._opened)

    def all(self) -> list[Any]:
        return list(self._opened)

    def open(self, client: Any) -> None:
        self._opened[client] = time.monotonic()
        self._idle[client] = None

    def close(self, client: Any) -> None:
        self._idle.pop(client, None)
        del self._opened[client]

    def begin_request(self, client: Any) -> float:
        """The connection is not idle. Returns its age in seconds."""
        self._idle.pop(client, None)
        return time.monotonic() - self._opened[client]

    def end_request(self, client: Any) -> None:
        self._idle[client] = None

    def make_room_for(self, client: Any) -> None:
        """Ends the connection that has been idle longest, so that another client can connect."""
        oldest = next(iter(self._idle))
        if oldest is not client:
            stop_reading(oldest)

    def end_idle(self) -> None:
        """Ends all connections without a request. A request that has arrived already is still read."""
        for client in self._idle:
            stop_reading(client)

    def begin_prediction(self, client: Any) -> None:
        """This greenlet asks the model. `abandon_disconnected` watches its client from now on."""
        self._predicting[client] = (time.monotonic(), gevent.getcurrent())

    def end_prediction(self, client: Any) -> None:
        self._predicting.pop(client, None)
        abandoned.discard(gevent.getcurrent())

    def abandon_disconnected(self) -> None:
        """Has the engine compute no more for clients that have disconnected."""
        late = time.monotonic() - LONG_WAIT_S
        for client, (since, greenlet) in self._predicting.items():
            if since < late and client_disconnected(client):
                abandoned.add(greenlet)
