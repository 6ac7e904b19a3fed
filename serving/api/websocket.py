"""A WebSocket over a gevent socket (RFC 6455); wsproto reads and writes the frames.

Pings are answered, fragments joined, the size of messages is limited, and a silent client is pinged. No extension is
accepted: without compression a message cannot be larger than the bytes that were sent.
"""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.lock import RLock
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from byo_container.serving.codecs.decoded_size import WIDEST
from byo_container.serving.errors import RequestError
from byo_container.serving.headers import from_elsewhere
from byo_container.serving.memory_budget import Budget, Share
from byo_container.serving.settings import MEGABYTE
from byo_container.serving.sockets import client_disconnected, stop_reading

PATH = "/invocations-bidirectional-stream"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# As the platform does it: a ping each minute, and the end after five without an answer.
PING_INTERVAL_S, MAX_UNANSWERED_PINGS = 60.0, 5
# How long the other side may take to answer a close frame.
CLOSE_S = 2.0
RECEIVE_BYTES = 64 * 1024
# How long a message may take to arrive, and how many fragments it may have: empty ones pass any limit of length.
MESSAGE_S, FRAGMENTS = 300.0, 65_536
# After this many events other greenlets have their turn, and the client is looked for: a socket that always has data
# never waits.
EVENTS_A_TURN = 64


def handshake(method: str, header: Callable[[str], str]) -> bytes:
    """The answer that opens a WebSocket. Raises RequestError if the request does not ask for one by RFC 6455."""
    upgrade = (("Upgrade", "websocket"),)
    if method != "GET":
        raise RequestError(405, "a WebSocket is opened by GET", (("Allow", "GET"),))
    if "websocket" not in header("Upgrade").lower() or "upgrade" not in header("Connection").lower():
        raise RequestError(426, "this is a WebSocket: send Upgrade: websocket", upgrade)
    if header("Sec-WebSocket-Version") != "13":
        raise RequestError(426, "send Sec-WebSocket-Version: 13", (*upgrade, ("Sec-WebSocket-Version", "13")))
    if from_elsewhere(header):
        raise RequestError(403, "a page of another origin may not open a WebSocket here")
    key = header("Sec-WebSocket-Key")
    with suppress(ValueError):
        if len(base64.b64decode(key, validate=True)) == 16:
            digest = base64.b64encode(hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest())
            return (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n"
            )
    raise RequestError(400, f"Sec-WebSocket-Key is {key!r}; it should be 16 bytes in base64")


@dataclass(frozen=True)
class Received:
    """A message, and its share of the memory budget, which has to be given back."""

    data: str | bytes
    share: Share


class PartialMessage:
    """A message that is still arriving. Its fragments are joined at once: each takes more memory than its bytes."""

    def __init__(self, limit: int, budget: Budget) -> None:
        self._limit = limit
        self._buffer: Any = None
        self._bytes = self._memory_bytes = self._fragments = 0
        self._deadline = 0.0
        self.share = Share(budget)

    def add(self, event: Message[Any]) -> None:
        """Raises LimitError for a message that exceeds a limit."""
        data, text = event.data, isinstance(event, TextMessage)
        if self._buffer is None:
            self._buffer = io.StringIO() if text else io.BytesIO()
            self._deadline = time.monotonic() + MESSAGE_S
        self._buffer.write(data)
        is_ascii = not text or data.isascii()
        self._bytes += len(data) if is_ascii else len(data.encode())
        self._memory_bytes += len(data) if is_ascii else WIDEST * len(data)
        self._fragments += event.frame_finished
        if self._bytes > self._limit:
            raise LimitError(
                CloseReason.MESSAGE_TOO_BIG, f"a message is above the limit of {self._limit // MEGABYTE} MB"
            )
        if self._fragments > FRAGMENTS:
            raise LimitError(CloseReason.POLICY_VIOLATION, f"a message is in more than {FRAGMENTS} fragments")
        if not self.share.grow(self._memory_bytes):
            raise LimitError(CloseReason.TRY_AGAIN_LATER, "too many large messages are here; send it again later")

    def check(self) -> None:
        """Raises LimitError for a message that takes too long to arrive."""
        if self._buffer is not None and time.monotonic() > self._deadline:
            raise LimitError(CloseReason.POLICY_VIOLATION, f"a message has not come within {MESSAGE_S:.0f} s")

    def received(self) -> Received:
        return Received(self._buffer.getvalue(), self.share)


class LimitError(Exception):
    """Ends the conversation, with a code and a reason for the client."""

    def __init__(self, code: CloseReason, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class WebSocket:
    """An open WebSocket. Several greenlets may send; one receives."""

    def __init__(self, sock: Any, already: bytes, max_message: int, budget: Budget) -> None:
        self._sock = sock
        self._protocol = Connection(ConnectionType.SERVER, trailing_data=already)
        self._max_message = max_message
        self._budget = budget
        self._sending = RLock()
        self.open = True

    def messages(self) -> Iterator[Received]:
        """The messages as they arrive, until either side closes. Raises OSError if the connection is lost."""
        incoming = PartialMessage(self._max_message, self._budget)
        try:
            for event in self._events():
                incoming.check()
                if isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, CloseConnection):
                    self.close(event.code, event.reason)
                elif isinstance(event, Message) and self.open:
                    incoming.add(event)
                    if event.message_finished:
                        message = incoming.received()
                        incoming = PartialMessage(self._max_message, self._budget)
                        yield message
        except LimitError as refused:
            self.close(refused.code, str(refused))
        finally:
            incoming.share.keep(0)

    def send(self, message: str | bytes) -> None:
        """Sends a message; does nothing once the WebSocket is closed. Raises OSError if the connection is lost."""
        event: Message[Any] = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        self._send(event)

    def close(self, code: int, reason: str | None = None) -> None:
        """Closes from this side, or confirms the client's close."""
        self._send(CloseConnection(code, reason))
        self.open = False

    def hang_up(self) -> None:
        """Reads no more from a client that does not confirm the close."""
        stop_reading(self._sock)

    def linger(self) -> None:
        """Reads until the client closes: a connection that is closed with unread data loses what was sent last."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(CLOSE_S)
            until = time.monotonic() + CLOSE_S
            while time.monotonic() < until and self._sock.recv(RECEIVE_BYTES):
                gevent.sleep(0)

    def _send(self, event: Event) -> None:
        with self._sending, suppress(LocalProtocolError):  # it has been closed meanwhile
            self._sock.sendall(self._protocol.send(event))

    def _events(self) -> Iterator[Event | None]:
        """What the client sends; None after each interval in which it has sent nothing."""
        unanswered = turn = 0
        self._sock.settimeout(PING_INTERVAL_S)
        while self.open:
            for event in self._protocol.events():
                yield event
                turn += 1
                if turn % EVENTS_A_TURN == 0:
                    gevent.sleep(0)
                    if client_disconnected(self._sock):  # for nobody: the end lies behind all that was sent before
                        return
            if not self.open:
                return
            try:
                data = self._sock.recv(RECEIVE_BYTES)
            except TimeoutError:
                unanswered += 1
                if unanswered > MAX_UNANSWERED_PINGS:
                    return
                self._send(Ping())
                yield None
                continue
            if not data:
                return
            unanswered = 0
            self._protocol.receive_data(data)
