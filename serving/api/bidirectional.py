"""Bidirectional streaming: a WebSocket on which client and model talk.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html

Messages are answered one after another, in their order, while pings are answered and a client that goes away is seen.
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
from byo_container.serving.api.invocations import failed
from byo_container.serving.api.websocket import CLOSE_S, Received, WebSocket
from byo_container.serving.codecs import plain_values
from byo_container.serving.errors import RequestError, error_body
from byo_container.serving.memory_budget import of_worker

PATH = "/invocations-bidirectional-stream"
# Messages that may wait for the model, beside the limit of their bytes: those of one payload. Beyond them nothing is
# read, and the client's own sending has to wait.
WAITING = 1024
# Conversations that a worker holds at a time. Each keeps a connection, of which a worker has 1,000.
CONVERSATIONS = 256
# Answers one message: the values to send, as they come.
Answer = Callable[[str | bytes, Conversation], Iterable[Any]]


class Inbox:
    """The messages of a conversation that wait for the model."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Received] = deque()
        self._length = 0
        self._closed = False
        self._filled, self._room = Event(), Event()
        self._tell()

    def put(self, message: Received) -> None:
        """Waits until there is room. After the end nothing is kept."""
        self._room.wait()
        if self._closed:
            message.share.keep(0)
            return
        self._messages.append(message)
        self._length += len(message.data)
        self._tell()

    def get(self) -> Received | None:
        """The next one, once it is there; None at the end."""
        self._filled.wait()
        if self._closed:
            return None
        message = self._messages.popleft()
        self._length -= len(message.data)
        self._tell()
        return message

    def close(self) -> None:
        """Nobody will answer what still waits."""
        self._closed = True
        for message in self._messages:
            message.share.keep(0)
        self._messages.clear()
        self._tell()

    def _tell(self) -> None:
        has_room = len(self._messages) < WAITING and self._length < self._limit
        for event, holds in ((self._filled, bool(self._messages)), (self._room, has_room)):
            if holds or self._closed:
                event.set()
            else:
                event.clear()


class Talk:
    """One client's conversation, from the request that opens it to its end."""

    def __init__(self, sock: Any, already: bytes, answer: Answer, header: Callable[[str], str], limit: int) -> None:
        self._socket = WebSocket(sock, already, limit, of_worker(limit).messages)
        self._answer = answer
        self._conversation = Conversation(header)
        self._inbox = Inbox(limit)
        self._read = Event()  # once nothing more is read
        self._leaving = False
        self._request_id = header("X-Request-Id") or uuid.uuid4().hex

    def run(self) -> None:
        """Until either side ends, or the connection is lost."""
        answering = gevent.spawn(self._answer_all)
        try:
            for message in self._socket.messages():
                self._inbox.put(message)
        except OSError:
            pass  # the client has gone
        finally:
            self._socket.open = False
            self._inbox.close()
            self._read.set()
            answering.join()
            self._socket.linger()

    def leave(self) -> None:
        """Ends the conversation after the answer that is under way: the server goes."""
        self._leaving = True
        self._inbox.close()

    def _answer_all(self) -> None:
        REQUEST_ID.set(self._request_id)
        try:
            while self._socket.open and (message := self._inbox.get()):
                with message.share:
                    self._answer_one(message.data)
                gevent.sleep(0)  # neither getting nor sending waits, while there is something to get and room to send
            if self._leaving:
                self._socket.close(CloseReason.GOING_AWAY, "the server ends; open another one")
        except OSError:
            self._socket.open = False
        finally:
            self._inbox.close()
            if not self._read.wait(CLOSE_S):  # the client does not agree to the end
                self._socket.hang_up()

    def _answer_one(self, message: str | bytes) -> None:
        answers: Iterable[Any] = ()
        try:
            answers = self._answer(message, self._conversation)
            for value in answers:
                if not self._socket.open:
                    return
                self._socket.send(sendable(value))
        except OSError:
            raise
        except Exception as error:
            known: RequestError = failed(error, self._request_id)
            self._socket.send(error_body(known.status, known.message).decode())
            if known.status >= 500 and known.status != 503:
                self._socket.close(CloseReason.INTERNAL_ERROR, known.message)
        finally:
            if hasattr(answers, "close"):
                answers.close()


def sendable(value: Any) -> str | bytes:
    """Texts and bytes as they are, other values as JSON."""
    if isinstance(value, str | bytes):
        return value
    return bytes(value) if isinstance(value, bytearray | memoryview) else plain_values.dumps(value).decode()
