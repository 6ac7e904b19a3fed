"""A WebSocket over a gevent socket. Source: RFC 6455, whose frames are wsproto's business.

Pings are answered, fragments joined, a message is held to a limit, and a client that is silent is asked whether it is
still there. No extension is agreed to: without compression a message cannot be larger than what was sent.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from gevent.lock import RLock
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from serving.errors import RequestError
from serving.settings import MEGABYTE

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# The platform's own habit: a ping every minute, and the end after five that were not answered.
SILENCE_S, PATIENCE = 60.0, 5
# For the other side to agree to the end.
CLOSE_S = 2.0
RECEIVE = 64 * 1024


def handshake(method: str, header: Callable[[str], str]) -> bytes:
    """The answer that opens a WebSocket. Raises RequestError where the request asks for none, or for one that is not
    that of RFC 6455."""
    wanted = (("Upgrade", "websocket"),)
    if method != "GET":
        raise RequestError(405, "a WebSocket is opened by GET", (("Allow", "GET"),))
    if "websocket" not in header("Upgrade").lower() or "upgrade" not in header("Connection").lower():
        raise RequestError(426, "this is a WebSocket: send Upgrade: websocket", wanted)
    if header("Sec-WebSocket-Version") != "13":
        raise RequestError(426, "send Sec-WebSocket-Version: 13", (*wanted, ("Sec-WebSocket-Version", "13")))
    key = header("Sec-WebSocket-Key")
    with suppress(ValueError):
        if len(base64.b64decode(key, validate=True)) == 16:
            digest = base64.b64encode(hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest())
            return (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n"
            )
    raise RequestError(400, f"Sec-WebSocket-Key is {key!r}; it should be 16 bytes in base64")


class WebSocket:
    """An open one. Several greenlets may send; one receives."""

    def __init__(self, sock: Any, already: bytes, max_message: int) -> None:
        self._sock = sock
        self._protocol = Connection(ConnectionType.SERVER, trailing_data=already)
        self._max_message = max_message
        self._sending = RLock()
        self.open = True

    def messages(self) -> Iterator[str | bytes]:
        """The messages as they come, until either side ends. Raises OSError where the connection is lost."""
        parts: list[Any] = []
        length = 0
        for event in self._events():
            if isinstance(event, Ping):
                self._send(event.response())
            elif isinstance(event, CloseConnection):
                self.close(event.code, event.reason)
            elif isinstance(event, Message) and self.open:
                parts.append(event.data)
                length += len(event.data)
                if length > self._max_message:
                    limit = self._max_message // MEGABYTE
                    self.close(CloseReason.MESSAGE_TOO_BIG, f"a message is above the limit of {limit} MB")
                    parts.clear()
                elif event.message_finished:
                    yield ("" if isinstance(event, TextMessage) else b"").join(parts)
                    parts, length = [], 0

    def send(self, message: str | bytes) -> None:
        """Sends a message; nothing after the end. Raises OSError where the connection is lost."""
        made: Message[Any] = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        self._send(made)

    def close(self, code: int, reason: str | None = None) -> None:
        """Ends the conversation from this side, or agrees to its end."""
        self._send(CloseConnection(code, reason))
        self.open = False

    def hang_up(self) -> None:
        """Reads no more, of a client that does not agree to the end."""
        # By a socket that gevent does not know: it would raise in the greenlet that waits for the client.
        with suppress(OSError), socket.socket(fileno=os.dup(self._sock.fileno())) as twin:
            twin.shutdown(socket.SHUT_RD)

    def linger(self) -> None:
        """Hears the other side out: a connection that is closed with data unread loses what was sent last."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(CLOSE_S)
            until = time.monotonic() + CLOSE_S
            while time.monotonic() < until and self._sock.recv(RECEIVE):
                pass

    def _send(self, event: Event) -> None:
        with self._sending, suppress(LocalProtocolError):  # it has ended meanwhile
            self._sock.sendall(self._protocol.send(event))

    def _events(self) -> Iterator[Event]:
        silences = 0
        self._sock.settimeout(SILENCE_S)
        while self.open:
            yield from self._protocol.events()
            if not self.open:
                return
            try:
                data = self._sock.recv(RECEIVE)
            except TimeoutError:
                silences += 1
                if silences > PATIENCE:
                    return
                self._send(Ping())
                continue
            if not data:
                return
            silences = 0
            self._protocol.receive_data(data)
