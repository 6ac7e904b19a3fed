"""A client's side of one WebSocket."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, Event, Request, TextMessage

from tests.serving.support.server import Server

PATH = "/invocations-bidirectional-stream"


class WebSocketClient:
    """A client's side of one WebSocket."""

    def __init__(self, server: Server, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.parts: list[Any] = []
        own = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.send(Request(host="x", target=PATH, extra_headers=own))
        self.opening = self.next()

    def send(self, event: Event) -> None:
        self.socket.sendall(self.protocol.send(event))

    def next(self) -> Event:
        """The next event; the end of the connection is a CloseConnection with code 1006."""
        while True:
            for event in self.protocol.events():
                if isinstance(event, TextMessage | BytesMessage) and not event.message_finished:
                    self.parts.append(event.data)
                    continue
                if isinstance(event, TextMessage | BytesMessage):
                    parts, self.parts = [*self.parts, event.data], []
                    if isinstance(event, TextMessage):
                        return TextMessage("".join(parts))
                    return BytesMessage(b"".join(parts))
                return event
            self.protocol.receive_data(self.socket.recv(65536) or None)

    def ask(self, message: str | bytes) -> Any:
        self.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))
        answer = self.next()
        assert isinstance(answer, TextMessage | BytesMessage), answer
        return answer.data
