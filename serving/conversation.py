"""Bidirectional streaming: a WebSocket on which client and model talk.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html

Messages are answered one after another, in their order, while pings are answered and a client that goes away is seen.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.queue import Queue
from wsproto.frame_protocol import CloseReason

from container.handler import Conversation
from container.log import REQUEST_ID
from serving import codecs
from serving.errors import RequestError, error_body
from serving.invocations import failed
from serving.websocket import CLOSE_S, WebSocket

PATH = "/invocations-bidirectional-stream"
# Messages that may wait for the model. Beyond them the client's own sending has to wait.
WAITING = 16
# Answers one message: the values to send, as they come.
Answer = Callable[[str | bytes, Conversation], Iterable[Any]]


class Talk:
    """One client's conversation, from the request that opens it to its end."""

    def __init__(self, sock: Any, already: bytes, answer: Answer, header: Callable[[str], str], limit: int) -> None:
        self._socket = WebSocket(sock, already, limit)
        self._answer = answer
        self._conversation = Conversation(header)
        self._waiting: Any = Queue(WAITING)
        self._leaving = False
        self._request_id = header("X-Request-Id") or uuid.uuid4().hex

    def run(self) -> None:
        """Until either side ends, or the connection is lost."""
        answering = gevent.spawn(self._answer_all)
        try:
            for message in self._socket.messages():
                self._waiting.put(message)
        except OSError:
            pass  # the client has gone
        finally:
            self._socket.open = False
            gevent.spawn(self._waiting.put, None)  # the queue may be full
            answering.join()
            self._socket.linger()

    def leave(self) -> None:
        """Ends the conversation after the answer that is under way: the server goes."""
        if not self._leaving:
            self._leaving = True
            gevent.spawn(self._waiting.put, None)

    def _answer_all(self) -> None:
        REQUEST_ID.set(self._request_id)
        try:
            while self._socket.open and (message := self._waiting.get()) is not None and not self._leaving:
                self._answer_one(message)
            if self._leaving:
                self._socket.close(CloseReason.GOING_AWAY, "the server ends; open another one")
                gevent.sleep(CLOSE_S)
                self._socket.hang_up()
        except OSError:
            self._socket.open = False

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
    return bytes(value) if isinstance(value, bytearray | memoryview) else codecs.dumps(value).decode()
