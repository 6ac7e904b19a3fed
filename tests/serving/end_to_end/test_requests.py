"""Requests and responses, through nginx and gunicorn, and through gunicorn alone."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests

from tests.serving.support.http import head, parse

if TYPE_CHECKING:
    from tests.serving.support.server import Server

MEGABYTE = 1024 * 1024
NPY = "application/x-npy"
UTF8 = "text/plain; charset=utf-8"


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_ping_is_200_and_empty(server: Server, method: str) -> None:
    answer = server.request(method, "/ping")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "expected", "answer_type"),
    [
        (b'{"a": [1, 2.5, null]}', "application/json", "", b'{"a":[1,2.5,null]}', "application/json"),
        (b"[1]", "", "*/*", b"[1]", "application/json"),
        (b"[1]", "application/json; charset=utf-8", "application/json; q=0.9", b"[1]", "application/json"),
        (b'{"a":1}\n{"a":2}\n', "application/jsonlines", "application/jsonlines", b'{"a":1}\n{"a":2}\n', None),
        (b"1,2\n3,4\n", "text/csv; charset=utf-8", "text/csv", b"1,2\n3,4\n", None),
        (b"1,2\n3,4\n", "text/csv", "text/html, application/json;q=0.5", b'[["1","2"],["3","4"]]', "application/json"),
        ("één\ntwee\n".encode(), "text/plain", "text/*;q=0.5, text/plain", "één\ntwee\n".encode(), UTF8),
        (saved(np.arange(3)), NPY, "application/json", b"[0,1,2]", "application/json"),
        (saved(np.arange(3)), NPY, NPY, saved(np.arange(3)), None),
    ],
)
def test_response_by_content_type_and_accept(
    server: Server, body: bytes, content_type: str, accept: str, expected: bytes, answer_type: str | None
) -> None:
    answer = server.post(data=body, headers={"Content-Type": content_type, "Accept": accept})
    assert answer.status_code == 200, answer.text
    assert (answer.content, answer.headers["Content-Type"]) == (expected, answer_type or accept)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "words"),
    [
        ("POST", "/invocations", {}, b"{", 400, "not valid JSON"),
        ("POST", "/invocations", {}, b"", 400, "empty"),
        ("POST", "/invocations", {}, b"NaN", 400, "not valid JSON"),
        ("POST", "/invocations", {}, b'"\\ud800"', 400, "not valid JSON"),
        ("POST", "/invocations", {}, b"[" * 100_000, 400, "not valid JSON"),
        ("POST", "/invocations", {"Content-Type": "application/jsonlines"}, b"1\nx\n", 400, "line 2"),
        ("POST", "/invocations", {"Content-Type": "text/csv"}, b'1,"2\n', 400, "line 1"),
        ("POST", "/invocations", {"Content-Type": NPY}, saved(np.array([{}])), 400, "without pickles"),
        ("POST", "/invocations", {"Content-Type": NPY}, saved(np.zeros(9))[:-1], 400, "npy"),
        ("POST", "/invocations", {}, b'{"refuse": "send a headline"}', 400, "send a headline"),
        ("POST", "/invocations", {"Content-Type": "text/plain; charset=no"}, b"x", 415, "send utf-8"),
        ("POST", "/invocations", {"Content-Type": "image/png"}, b"x", 415, "application/json"),
        ("POST", "/invocations", {"Accept": "image/png"}, b"1", 406, "application/json"),
        ("POST", "/nowhere", {}, b"1", 404, "/invocations"),
        ("GET", "/", {}, b"", 404, "/invocations"),
        ("POST", "/invocations/", {}, b"1", 404, "/invocations"),
        ("GET", "/.error/503", {}, b"", 404, ""),
        ("GET", "/invocations", {}, b"", 405, "not allowed"),
        ("PUT", "/invocations", {}, b"1", 405, "not allowed"),
        ("DELETE", "/ping", {}, b"", 405, "not allowed"),
        ("TRACE", "/ping", {}, b"", 405, "not allowed"),
        ("BREW", "/ping", {}, b"", 405, "not allowed"),
        ("POST", "/execution-parameters", {}, b"1", 405, "not allowed"),
        ("POST", "/invocations", {}, b" " * (MEGABYTE + 1), 413, "1 MB"),
        ("POST", "/invocations", {}, b'{"raise": "secret"}', 500, "log"),
        ("POST", "/invocations", {}, b'{"exit": 3}', 500, "log"),
        ("POST", "/invocations", {}, b'{"memory": 1}', 500, "log"),
        ("POST", "/invocations", {}, b'{"strange": 1}', 500, "log"),
        ("POST", "/invocations", {}, b'{"drop": 1}', 500, "log"),
    ],
)
def test_errors_are_json_that_a_client_can_act_on(
    server: Server, method: str, path: str, headers: dict[str, str], body: bytes, status: int, words: str
) -> None:
    answer = server.request(method, path, headers=headers, data=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["code"] == status
    assert words in answer.json()["message"]
    assert "Traceback" not in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(), 411),
        (head("Content-Length: x") + b"1", 400),
        (head("Content-Length: -1") + b"1", 400),
        (head("Content-Length: 99999999999999999999") + b"1", (400, 413)),
        (head("Content-Length: 1", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (head("Transfer-Encoding: gzip") + b"x", (400, 501)),
        (head("Transfer-Encoding: chunked") + b"zz\r\n", 400),
        (head("Content-Length: 1", "Content-Type: text/csv", "Content-Type: text/plain") + b"1", 400),
        (head("X-A: a\x01b", method="GET /ping"), 400),
        (head("X-A: " + "a" * 20_000, method="GET /ping"), 431),
        (head(method="GET /" + "a" * 20_000), (404, 414)),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /ping HTTP/9.9\r\n\r\n", (400, 505)),
    ],
)
def test_malformed_http_is_rejected_in_json(server: Server, data: bytes, status: int | tuple[int, ...]) -> None:
    found, body = parse(server.send(data))
    assert found in (status if isinstance(status, tuple) else (status,))
    assert body["code"] == found
    assert body["message"]


@pytest.mark.parametrize("lines", [["Content-Length: 9"], ["Transfer-Encoding: chunked"]])
def test_truncated_body_is_never_predicted(server: Server, lines: list[str]) -> None:
    """Such a client is gone, or half: nginx says nothing, gunicorn 400."""
    received = server.send(head(*lines) + b"4\r\n[1]", half_close=True)
    assert received == b"" or parse(received)[0] == 400
    assert server.ask([2]) == [2]


def test_chunked_bodies(server: Server) -> None:
    assert server.post(data=iter([b"[1", b",2]"])).json() == [1, 2]
    refused = server.post(data=(b" " * 65536 for _ in range(17)))
    assert refused.status_code == 413


def test_body_of_exactly_the_limit_is_accepted(server: Server) -> None:
    assert server.post(data=b"1" + b" " * (MEGABYTE - 1)).json() == 1


def test_expect_100_continue(server: Server) -> None:
    received = server.send(head("Content-Length: 3", "Expect: 100-continue") + b"[1]")
    assert received.startswith(b"HTTP/1.1 100 Continue")
    assert received.endswith(b"[1]")


def test_many_and_long_headers_pass(server: Server) -> None:
    lines = [f"X-{n}: {n}" for n in range(150)]
    assert b" 200 " in server.send(head("X-Long: " + "a" * 8000, *lines, method="GET /ping"))


def test_percent_encoding_and_query_do_not_change_the_route(server: Server) -> None:
    assert b" 200 " in server.send(head("Content-Length: 1", method="POST /%69nvocations?x=y") + b"1")


@pytest.mark.parametrize(("path", "allowed"), [("/ping", {"GET", "POST"}), ("/invocations", {"POST"})])
def test_options_and_405_name_the_methods(server: Server, path: str, allowed: set[str]) -> None:
    for method in ("OPTIONS", "PATCH"):
        answer = server.request(method, path)
        assert answer.status_code == (200 if method == "OPTIONS" else 405)
        assert allowed <= set(answer.headers["Allow"].split(", "))


def test_execution_parameters(server: Server) -> None:
    expected = {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 1}
    assert server.get("/execution-parameters").json() == expected


def test_nan_is_null(server: Server) -> None:
    """JSON has no other word for it."""
    assert server.ask({"nan": 1}) == [None, None]


def test_a_fault_is_in_the_log_with_its_request_id_and_traceback(server: Server) -> None:
    answer = server.post(json={"raise": "for the log only"})
    request_id = answer.headers["X-Request-Id"]
    assert request_id in answer.json()["message"]
    (line,) = [line for line in server.log().splitlines() if "for the log only" in line]
    assert f"request {request_id} failed" in line
    assert "toy.py" in line


def test_error_names_the_bad_record(server: Server) -> None:
    answer = server.post(data=b'1\n{"refuse": "no"}\n', headers={"Content-Type": "application/jsonlines"})
    assert (answer.status_code, answer.json()["message"]) == (400, "record 2: no")


def test_connections_are_kept_alive(server: Server) -> None:
    with requests.Session() as session:
        for n in range(20):
            assert session.post(server.url + "/invocations", json=n, timeout=10).json() == n
        for _ in range(3):  # after an error too
            assert session.post(server.url + "/invocations", data=b"{", timeout=10).status_code == 400
            assert session.get(server.url + "/ping", timeout=10).status_code == 200


def test_responses_are_not_mixed_up_in_batches(server: Server) -> None:
    """Requests of many connections share calls of predict; one that fails must not harm or shift the others."""

    def ask(n: int) -> bool:
        if n % 7 == 0:
            return server.post(json={"raise": str(n)}).status_code == 500
        return bool(server.ask([n, "x" * (n % 5)]) == [n, "x" * (n % 5)])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(300)))


def test_waiting_requests_are_batched(server: Server) -> None:
    largest = 1
    for _ in range(5):  # on a busy machine requests may come when the workers are idle again
        with ThreadPoolExecutor(20) as pool:
            busy = [pool.submit(server.ask, {"sleep": 1.0}) for _ in range(4)]
            time.sleep(0.4)
            sizes = [waiting.result() for waiting in [pool.submit(server.ask, {"ask": "together"}) for _ in range(16)]]
            assert all(isinstance(future.result(), int) for future in busy)
        if (largest := max(sizes)) > 1:
            break
    assert largest > 1


@pytest.fixture(params=["busy", "sleep"])
def computing(request: pytest.FixtureRequest, server: Server) -> Iterator[None]:
    """Every worker computes for some seconds."""
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(server.post, json={request.param: 0.7}) for _ in range(6)]
        time.sleep(0.3)
        yield
        assert all(future.result().status_code == 200 for future in futures)


@pytest.mark.usefixtures("computing")
def test_ping_is_answered_while_every_worker_computes(server: Server) -> None:
    for _ in range(10):
        began = time.monotonic()
        assert server.get("/ping").status_code == 200
        assert time.monotonic() - began < 1.0  # benchmarks/ping_under_load.py has the figures


def test_disconnected_clients_do_not_harm_others(server: Server) -> None:
    for _ in range(4):
        with pytest.raises(requests.Timeout):
            server.post(json={"sleep": 0.4}, timeout=0.1)
    assert server.ask(1) == 1
    assert threading.active_count() < 50


@pytest.mark.parametrize("half", [head("Content-Length: 10"), b"POST /invoc"])
def test_slow_client_does_not_block_others(server: Server, half: bytes) -> None:
    with ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(server.send, half, timeout_s=1.0) for _ in range(8)]
        assert server.ask(1) == 1
        assert all(future.result() == b"" for future in slow)


def test_the_log_holds_an_event_a_line(server: Server) -> None:
    """After all of the above: no traceback came apart."""
    server.post(data=b"[" + b"1," * 40_000)
    assert not [line for line in server.log().splitlines() if line.startswith((" ", "Traceback"))]
