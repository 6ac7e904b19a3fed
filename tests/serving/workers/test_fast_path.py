"""HTTP written by hand, byte by byte, with requests that gunicorn has read."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from byo_container.serving.api.app import Application
from byo_container.serving.api.invocations import Invocations
from byo_container.serving.errors import RequestError
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.settings import MEGABYTE
from byo_container.serving.workers import fast_path
from tests.serving.workers.gunicorn_parts import parsed


class Model:
    """Answers with the request's body, or with what the test wants."""

    def __init__(self) -> None:
        self.engine = SimpleNamespace(above_latency_threshold=False)
        self.requests: list[Request] = []
        self.reply: Reply | BaseException | None = None
        self.takes_s = 0.0

    def respond(self, request: Request) -> Reply:
        self.requests.append(request)
        time.sleep(self.takes_s)
        if isinstance(self.reply, BaseException):
            raise self.reply
        return self.reply or Reply(request.body, request.content_type)


class Parts:
    """A Stream, as the fast path sees it."""

    content_type = "text/plain"

    def __init__(self, *parts: bytes | Exception) -> None:
        self._parts = parts
        self.closed = False

    def on_close(self, act: Any) -> None:
        pass

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr(fast_path, "SLOW_CALL_S", 1.0)  # a busy machine makes no answer slow
    return Model()


def answered(model: Model, *headers: str, body: bytes = b'{"a": 1}', client_leaves: bool = False) -> tuple[bytes, bool]:
    """The bytes of the answer, and whether the connection is closed after it."""
    lines = ["POST /invocations HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers, "", ""]
    req = parsed("\r\n".join(lines).encode() + body)
    application = cast(Application, SimpleNamespace(model=model, invocations=Invocations(cast(Any, model), MEGABYTE)))
    ours, theirs = socket.socketpair()
    if client_leaves:
        theirs.close()
    closes = False
    try:
        fast_path.predict(application, req, ours)
    except StopIteration:
        closes = True
    ours.close()
    return b"" if client_leaves else theirs.recv(10000), closes


def test_answer_is_one_write_with_its_length(model: Model) -> None:
    answer, closes = answered(model, "Content-Type: application/json")
    assert answer == b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    assert not closes


def test_model_sees_the_headers_whatever_their_case(model: Model) -> None:
    answered(model, "Content-Type: text/csv", "Accept: text/csv", "x-own: 1", "X-Own: 2")
    (request,) = model.requests
    assert (request.content_type, request.accept, request.waited_s) == ("text/csv", "text/csv", 0.0)
    assert request.header("X-OWN") == "1,2"
    assert request.header("Content-Type") == "text/csv"
    assert request.header("X-Other") == ""


def test_error_is_answered_with_the_id_of_its_request(model: Model) -> None:
    model.reply = RequestError(503, "try again", (("Retry-After", "1"),))
    answer, closes = answered(model, "X-Request-Id: 42")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 503 Service Unavailable"
    assert b"X-Request-Id: 42\r\nRetry-After: 1" in head
    assert body == b'{"code":503,"type":"ServiceUnavailable","message":"try again"}'
    assert not closes


def test_exit_of_the_model_is_an_answer_too(model: Model) -> None:
    model.reply = SystemExit(3)
    assert answered(model)[0].startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


@pytest.mark.parametrize(("takes_s", "is_slow"), [(0.03, False), (0.0, True)])
def test_connection_closes_after_a_slow_answer(
    model: Model, takes_s: float, is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next request on it should find the worker that is free then."""
    monkeypatch.setattr(fast_path, "SLOW_CALL_S", 0.02 if takes_s else 1.0)
    model.takes_s, model.engine.above_latency_threshold = takes_s, is_slow
    answer, closes = answered(model, "Content-Type: text/csv")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/csv\r\n")
    assert closes


def test_nothing_is_computed_for_a_client_that_has_disconnected(model: Model) -> None:
    waited = f"X-Request-Start: {time.time() - 2:.3f}"
    assert answered(model, waited, client_leaves=True) == (b"", True)
    assert not model.requests
    answer, _ = answered(model, waited, "Content-Type: text/csv")
    assert answer.startswith(b"HTTP/1.1 200")
    assert model.requests[0].waited_s == pytest.approx(2, abs=0.5)


def test_stream_is_sent_in_chunks_as_its_parts_come(model: Model) -> None:
    parts = Parts(b"one", b"two")
    model.reply = Reply(b"", "text/plain", stream=cast(Any, parts))
    answer, closes = answered(model)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    assert parts.closed
    assert not closes


def test_stream_that_breaks_off_has_no_last_chunk(model: Model) -> None:
    parts = Parts(b"one", ValueError("no more"))
    model.reply = Reply(b"", "text/plain", stream=cast(Any, parts))
    answer, closes = answered(model)
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n")
    assert parts.closed
    assert closes


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", False),
        (b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
def test_only_connections_that_stay_open_use_the_fast_path(head: bytes, expected: bool) -> None:
    assert fast_path.can_use_fast_path(parsed(head)) == expected


def test_refusal_closes_the_connection() -> None:
    answer = fast_path.refusal(RequestError(426, "upgrade", (("Upgrade", "websocket"),)))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 426 Upgrade Required",
        b"Connection: close",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Upgrade: websocket",
    ]
    assert body == b'{"code":426,"type":"UpgradeRequired","message":"upgrade"}'
