"""Malicious and broken clients: each gets an error, and other clients notice nothing."""

from __future__ import annotations

import contextlib
import gzip
import json
import selectors
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.serving.support.http import connections, head, status_of
from tests.serving.support.metrics import measured

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

MEGABYTE = 1024 * 1024


@pytest.mark.slow
def test_ten_thousand_idle_connections(start: Start) -> None:
    server = start(MODEL_SERVER_WORKERS="2").ready()
    with connections(server, 10_000, b""):
        for n in range(20):
            assert server.ask(n) == n
            assert server.status() == 200
        began = time.monotonic()
        server.ask(1)
        assert time.monotonic() - began < 1
    assert server.ask(1) == 1


@pytest.mark.parametrize("beginning", [b"POST /invoc", head("Content-Length: 100") + b"[1,", head("X-A: b")[:-4]])
def test_five_hundred_slow_loris(server: Server, beginning: bytes) -> None:
    with connections(server, 500, beginning) as clients:
        for byte in (b"x", b"y"):
            for client in clients[:50]:
                with contextlib.suppress(OSError):
                    client.sendall(byte)
            for n in range(5):
                assert server.ask(n) == n
            assert server.status() == 200


@pytest.mark.slow
def test_slow_loris_connection_is_closed_after_the_header_timeout(start: Start) -> None:
    """nginx gives up on headers after 20 s, however often another byte comes."""
    server = start().ready()
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=1) as client:
        closed = False
        while not closed and time.monotonic() - began < 40:
            try:
                client.sendall(b"G" if time.monotonic() - began < 1 else b"E")
                closed = client.recv(4096) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
    assert closed
    assert 15 < time.monotonic() - began < 35


def endless(server: Server, opening: bytes, piece: bytes) -> tuple[bytes, int]:
    """What comes back to a client that sends for as long as it is let, at most 200 MB, and how much it sent."""
    sent, received = 0, b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client, contextlib.suppress(OSError):
        client.sendall(opening)
        readable = selectors.DefaultSelector()
        readable.register(client, selectors.EVENT_READ)
        while sent < 200 * MEGABYTE:
            client.sendall(piece)
            sent += len(piece)
            if readable.select(0):
                chunk = client.recv(65536)
                received += chunk
                if not chunk:
                    break
        received += client.recv(65536)
    return received, sent


def test_endless_body_is_rejected_and_the_connection_closed(server: Server) -> None:
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    received, sent = endless(server, head("Transfer-Encoding: chunked"), piece)
    # gunicorn alone closes with much unread, and the kernel may throw away the answer with it, or the end of it.
    assert received == b"" or status_of(received) == 413
    assert sent < 200 * MEGABYTE
    assert server.ask(1) == 1


def test_bytes_beyond_content_length_are_the_next_request(server: Server) -> None:
    received = server.send(
        head("Content-Length: 1").replace(b"Connection: close\r\n", b"") + b"1" + b" " * 5, timeout_s=2
    )
    assert received.startswith(b"HTTP/1.1 200")
    assert server.ask(1) == 1


def test_half_closed_client_is_disconnected_by_nginx(start: Start) -> None:
    server = start().ready()
    body = b'{"sleep": 1}'
    assert server.send(head(f"Content-Length: {len(body)}") + body, half_close=True) == b""
    server.until(lambda: measured(server).get('byo_requests_total{status="499"}') == 1, "it is counted")
    assert server.ask(1) == 1


def test_endless_headers_are_rejected(server: Server) -> None:
    received, sent = endless(server, b"GET /ping HTTP/1.1\r\nHost: x\r\n", b"X-A: " + b"a" * 4000 + b"\r\n")
    assert received == b"" or status_of(received) in (400, 431)
    assert sent < 20 * MEGABYTE  # the sockets' own buffers hold some


def test_gzip_body_is_decompressed(server: Server) -> None:
    body = gzip.compress(json.dumps(["x"] * 1000).encode())
    answer = server.post(data=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert answer.json() == ["x"] * 1000


@pytest.mark.parametrize(("times", "status"), [(1, 413), (2, 400)])
def test_gzip_bomb_is_rejected(server: Server, times: int, status: int) -> None:
    """200 kB that would become 200 MB; packed twice, its contents are no JSON."""
    body = b" " * 200 * MEGABYTE
    for _ in range(times):
        body = gzip.compress(body, mtime=0)
    answer = server.post(data=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == status, answer.text
    assert server.ask(1) == 1


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (gzip.compress(b"1", mtime=0)[:-4], "gzip", 400),
        (gzip.compress(b"1", mtime=0) + b"more", "gzip", 400),
        (b"1", "gzip", 400),
        (zlib.compress(b"1"), "deflate", 415),
        (b"1", "br", 415),
        (gzip.compress(b"1", mtime=0), "gzip, gzip", 415),
        (b"1", "identity", 200),
    ],
)
def test_broken_or_unsupported_content_encoding(server: Server, body: bytes, coding: str, status: int) -> None:
    answer = server.post(data=body, headers={"Content-Encoding": coding})
    assert answer.status_code == status, answer.text
    assert server.ask(1) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 254 + b"]" * 254, 200),
        (b"[" * 500 + b"]" * 500, (200, 400, 500)),  # it can be read, and an echo of it not written
        (b"[" * 500_000, 400),
        (b'{"a":' * 100_000, 400),
        (b'{"deep": 5000}', 500),
        (b"Infinity", 400),
        (b"-Infinity", 400),
        (b"1e999", (200, 400)),
        (b"9" * 100_000, (200, 400)),
        (b'"\\ud800"', 400),
        (b'"\xed\xa0\x80"', 400),  # half a surrogate as UTF-8
        (b'"\\u0000"', 200),
        (b'"a\x00b"', 400),
        (b"\x00", 400),
        (b"\xff\xfe1\x00", 400),
        (b"{}" * 1000, 400),
        (b'{"a":1,"a":2}', 200),
    ],
)
def test_json_at_its_limits(server: Server, body: bytes, status: int | tuple[int, ...]) -> None:
    answer = server.post(data=body)
    assert answer.status_code in (status if isinstance(status, tuple) else (status,)), answer.text
    assert "json" in answer.headers["Content-Type"]
    if answer.status_code >= 400:
        assert answer.json()["message"]
    assert server.ask(1) == 1


def test_prediction_nested_too_deeply_is_an_error(server: Server) -> None:
    answer = server.post(json={"deep": 300})
    assert answer.status_code == 500
    assert "254" in answer.json()["message"]


@pytest.mark.parametrize(
    "data",
    [
        head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n",
        head("Content-Length: 5", "Transfer-Encoding: xchunked") + b"0\r\n\r\n",
        head("Content-Length: 5", "Transfer-Encoding : chunked") + b"0\r\n\r\n",
        head("Content-Length: 5", "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
        head("Content-Length: 5", "Content-Length: 1") + b"12345",
        head("Content-Length: 1, 5") + b"12345",
        head("Content-Length: +1") + b"1",
        head("Content-Length: 0x1") + b"1",
        head("Transfer-Encoding: chunked") + b"1;x=\n\r\n1\r\n0\r\n\r\n"[:4] + b"\x00",
        head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"1\r\n1\r\n0\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"-1\r\n1\r\n0\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"ffffffffffffffffff\r\n1\r\n0\r\n\r\n",
    ],
)
def test_request_smuggling_is_rejected(server: Server, data: bytes) -> None:
    """One answer at most, an error, and the connection closed: nothing behind it is taken for a request."""
    received = server.send(data + b"GET /execution-parameters HTTP/1.1\r\nHost: x\r\n\r\n", timeout_s=1.5)
    assert b"MaxPayloadInMB" not in received
    assert received.count(b"HTTP/1.1 ") <= 1
    assert received == b"" or received.split()[1] in (b"400", b"411", b"501"), received
    assert server.ask(1) == 1


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    one = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"
    received = server.send(one + b"1" + one + b"2" + one + b"{" + head("Content-Length: 1") + b"3")
    bodies = [part.partition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 ")[1:]]
    statuses = [part.split()[0] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"400", b"200"]
    assert (bodies[0], bodies[1], bodies[3]) == (b"1", b"2", b"3")


@pytest.mark.slow
def test_busy_pipelining_client_does_not_starve_others(start: Start) -> None:
    server = start(MODEL_SERVER_NGINX="off", MODEL_SERVER_ACCESS_LOG="off").ready()
    ping = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    answered = 0

    def send(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client.sendall(ping)

    def read(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while client.recv(65536):
                pass

    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        sending, reading = pool.submit(send, client), pool.submit(read, client)
        while not reading.done():  # the worker closes a connection that has been used for some seconds
            assert server.get("/ping").status_code == 200
            answered += 1
        client.close()
        sending.result()
    assert answered > 3


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: y"], 400),
        (["Content-Length: 1", "Content-Length: 1"], 400),
        (["Accept: application/json", "Accept: image/png"], 200),
        (["X-Request-Start: 1", "X-Request-Id: mine", "X_Request_Start: 1"], 200),
        (["X-A: \x00"], 400),
        (["X-A: é"], 200),
        ([": nameless"], 400),
        (["X A: b"], 400),
    ],
)
def test_duplicate_and_unusual_headers(server: Server, lines: list[str], status: int) -> None:
    length = [] if any("Length" in line for line in lines) else ["Content-Length: 1"]
    received = server.send(head(*lines, *length) + b"1")
    found = int(received.split()[1])
    assert found == status or (status == 400 and found == 200 and "Length" in lines[0]) or found == 200 != status
    assert server.ask(1) == 1


def test_x_request_start_from_a_client_is_ignored(server: Server) -> None:
    received = server.send(head("Content-Length: 1", "X-Request-Start: 1") + b"1")
    assert received.startswith(b"HTTP/1.1 200")
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(server.post, json=1, headers={"X-Request-Start": "nonsense"})
    assert server.ask(1) == 1
