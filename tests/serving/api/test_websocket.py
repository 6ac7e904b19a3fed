"""The frames of a WebSocket, over a pair of sockets."""

from __future__ import annotations

from gevent import socket
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from byo_container.serving.api.websocket import EVENTS_A_TURN, WebSocket
from byo_container.serving.memory_budget import Budget
from byo_container.serving.sockets import client_disconnected

MEGABYTE = 1024 * 1024


def test_client_that_has_left_is_noticed_behind_its_unread_messages() -> None:
    ours, theirs = socket.socketpair()
    frames = Connection(ConnectionType.CLIENT)
    theirs.sendall(b"".join(frames.send(TextMessage(str(number))) for number in range(2000)))
    assert not client_disconnected(ours)
    theirs.close()
    assert client_disconnected(ours)
    with ours:
        received = list(WebSocket(ours, b"", MEGABYTE, Budget(MEGABYTE)).messages())
    assert len(received) == EVENTS_A_TURN
