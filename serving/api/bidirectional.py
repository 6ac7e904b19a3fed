"""Bidirectional streaming: a WebSocket on which a client and the model exchange messages.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html

Messages are answered one after another, in their order. Meanwhile pings are answered, and a client that disconnects is
noticed.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.event import Event
from wsproto.frame_protocol import CloseReason

from byo_container.container.handler import Conversation
from byo_container.container.log import REQUEST_ID
from byo_container.serving.api.websocket import CLOSE_S, Received, WebSocket
from byo_container.serving.codecs import plain_values
from byo_container.serving.errors import error_body, known_error
from byo_container.serving.memory_budget import of_worker
from byo_container.serving.models.model_server import ModelServer

# How many messages may wait for the model; together they may have the bytes of one payload. Beyond that nothing is
# read, and the client cannot send more.
MAX_WAITING = 1024
# How many sessions a worker has at a time. Each keeps a connection.
MAX_SESSIONS = 256


class Inbox:
    """The messages of one session that wait for the model."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Received] = deque()
        self._length = 0
        self._closed = False
        self._not_empty, self._not_full = Event(), Event()
        self._set_events()

    def put(self, message: Received) -> None:
        """Waits while the inbox is full. Once it is closed, the message is dropped."""
        self._not_full.wait()
        if self._closed:
            message.share.keep(0)
            return
        self._messages.append(message)
        self._length += len(message.data)
        self._set_events()

    def get(self) -> Received | None:
        """Waits for the next message; None once the inbox is closed."""
        self._not_empty.wait()
        if self._closed:
            return None
        message = self._messages.popleft()
        self._length -= len(message.data)
        self._set_events()
        return message

    def close(self) -> None:
        """Drops the messages that still wait."""
        self._closed = True
        for message in self._messages:
            message.share.keep(0)
        self._messages.clear()
        self._set_events()

    def _set_events(self) -> None:
        not_full = len(self._messages) < MAX_WAITING and self._length < self._limit
        for event, holds in ((self._not_empty, bool(self._messages)), (self._not_full, not_full)):
            if holds or self._closed:
                event.set()
            else:
                event.clear()


class WebSocketSession:
    """One client's conversation with the model, from the opened WebSocket to its end.

    One greenlet reads messages, another one answers them.
    """

    def __init__(
        self, sock: Any, already: bytes, model: ModelServer, header: Callable[[str], str], max_message: int
    ) -> None:
        self._socket = WebSocket(sock, already, max_message, of_worker(max_message).messages)
        self._model = model
        self._conversation = Conversation(header)
        self._inbox = Inbox(max_message)
        self._reading_ended = Event()
        self._leaving = False
        self._request_id = header("X-Request-Id") or uuid.uuid4().hex

    def run(self) -> None:
        """Returns when either side has ended, or the connection is lost."""
        answering = gevent.spawn(self._answer_all)
        try:
            for message in self._socket.messages():
                self._inbox.put(message)
        except OSError:
            pass  # the client has disconnected
        finally:
            self._socket.open = False
            self._inbox.close()
            self._reading_ended.set()
            answering.join()
            self._socket.linger()

    def leave(self) -> None:
        """Ends the session after the answer that is under way, because the server ends."""
        self._leaving = True
        self._inbox.close()

    def _answer_all(self) -> None:
        REQUEST_ID.set(self._request_id)
        try:
            while self._socket.open and (message := self._inbox.get()):
                with message.share:
                    self._answer_one(message.data)
                gevent.sleep(0)  # neither `get` nor `send` waits while there are messages and room to send
            if self._leaving:
                self._socket.close(CloseReason.GOING_AWAY, "the server ends; open another one")
        except OSError:
            self._socket.open = False
        finally:
            self._inbox.close()
            if not self._reading_ended.wait(CLOSE_S):  # the client does not agree to the end
                self._socket.hang_up()

    def _answer_one(self, message: str | bytes) -> None:
        answers: Iterable[Any] = ()
        try:
            answers = self._model.converse(message, self._conversation)
            for value in answers:
                if not self._socket.open:
                    return
                self._socket.send(sendable(value))
        except OSError:
            raise
        except Exception as error:
            known = known_error(error, self._request_id)
            self._socket.send(error_body(known.status, known.message).decode())
            if known.status >= 500 and known.status != 503:
                self._socket.close(CloseReason.INTERNAL_ERROR, known.message)
        finally:
            if hasattr(answers, "close"):
                answers.close()


def sendable(value: Any) -> str | bytes:
    """The message for a value: texts and bytes as they are, other values as JSON."""
    if isinstance(value, str | bytes):
        return value
    return bytes(value) if isinstance(value, bytearray | memoryview) else plain_values.dumps(value).decode()
