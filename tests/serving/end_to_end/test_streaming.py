"""Streamed responses, through nginx and through gunicorn alone."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.serving.support.server import TALKER

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start


@pytest.fixture(scope="module", params=["nginx", "gunicorn alone"])
def server(request: pytest.FixtureRequest, start_for_module: Start) -> Server:
    nginx = "on" if request.param == "nginx" else "off"
    return start_for_module(handler=TALKER, MODEL_SERVER_NGINX=nginx).ready()


@pytest.fixture
def notes(server: Server) -> Callable[[], list[str]]:
    """How far the computation has come, of one test."""
    path = server.root / "notes"
    path.unlink(missing_ok=True)
    return lambda: path.read_text().split() if path.exists() else []


def stream(server: Server, value: Any, accept: str = "") -> requests.Response:
    answer = server.post(json=value, headers={"Accept": accept}, stream=True)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    ("value", "accept", "expected", "kind"),
    [
        ({"count": 3}, "", b"0 1 2 ", "text/plain; charset=utf-8"),
        ({"count": 3, "json": True}, "application/json", b"0\n1\n2\n", "application/jsonlines"),
        ({"count": 2}, "text/event-stream", b"data: 0 \n\ndata: 1 \n\n", "text/event-stream"),
        ({"count": 2, "json": 1}, "text/event-stream", b"data: 0\n\ndata: 1\n\n", "text/event-stream"),
        ({"type": "audio/wav"}, "", b"\x00\xff\x01", "audio/wav"),
        ({"count": 0}, "", b"", "application/jsonlines"),
        ({"plain": 1}, "text/event-stream", b'data: {"plain":1}\n\n', "text/event-stream"),
    ],
)
def test_media_types_of_streams(server: Server, value: Any, accept: str, expected: bytes, kind: str) -> None:
    answer = stream(server, value, accept)
    assert (answer.content, answer.headers["Content-Type"]) == (expected, kind)


def test_parts_are_sent_as_they_are_produced(server: Server) -> None:
    began = time.monotonic()
    answer = stream(server, {"count": 4, "pause": 0.3})
    times = [time.monotonic() - began for _ in answer.iter_content(1024)]
    assert len(times) == 4
    assert times[0] < 0.9
    assert all(later - sooner > 0.15 for sooner, later in itertools.pairwise(times))


def test_streams_and_plain_requests_take_turns(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(lambda: stream(server, {"count": 10, "pause": 0.1}).content) for _ in range(3)]
        time.sleep(0.3)
        began = time.monotonic()
        assert server.ask("x") == "x"
        assert time.monotonic() - began < 1.5
        assert {future.result() for future in slow} == {b"0 1 2 3 4 5 6 7 8 9 "}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"count": 2}\n"x"\n{"count": 3, "json": 1}\n', b'"0 1 "\n"x"\n[0,1,2]\n'),
        (b'{"count": 2}\n', b'"0 1 "\n'),  # a line for a line, also where there is one
    ],
)
def test_streams_of_several_records_are_joined(server: Server, body: bytes, expected: bytes) -> None:
    answer = server.post(
        data=body, headers={"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"}
    )
    assert answer.content == expected


@pytest.mark.parametrize(("value", "status"), [({"count": 3, "fail": 0}, 500), ({"count": 3, "refuse": 0}, 400)])
def test_error_before_the_first_part_sets_the_status(server: Server, value: Any, status: int) -> None:
    answer = server.post(json=value)
    assert answer.status_code == status
    assert answer.json()["code"] == status


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_first_part_that_cannot_be_written_is_an_error_of_the_request(
    server: Server, accept: str, notes: Callable[[], list[str]]
) -> None:
    answer = server.post(json={"count": 3, "unwritable": 0}, headers={"Accept": accept})
    assert answer.status_code == 500
    assert answer.headers["X-Request-Id"] in answer.json()["message"]
    server.until(lambda: notes()[-1:] == ["end"], "the computation has ended", timeout_s=5)


def test_backpressure_of_a_client_that_does_not_read(server: Server, notes: Callable[[], list[str]]) -> None:
    body = b'{"count": 1000000, "size": 100000}'
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        server.until(lambda: len(notes()) > 2, "the stream runs")
        counts = [0, -1]
        while counts[-1] != counts[-2]:  # the buffers on the way are full
            time.sleep(1)
            counts.append(len(notes()))
        assert counts[-1] < 1000
    server.until(lambda: notes()[-1:] == ["end"], "the computation has ended", timeout_s=5)


def test_error_in_mid_stream_differs_from_a_normal_end(server: Server) -> None:
    answer = stream(server, {"count": 9, "fail": 3})
    received: list[bytes] = []
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        received.extend(answer.iter_content(1))
    assert b"".join(received).split() == [b"0", b"1", b"2"]
    assert server.ask(1) == 1


def test_disconnected_client_stops_the_stream(server: Server, notes: Callable[[], list[str]]) -> None:
    body = json.dumps({"count": 1000, "pause": 0.05}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        server.until(lambda: len(notes()) > 2, "the stream runs")
    server.until(lambda: notes()[-1:] == ["end"], "the computation has ended", timeout_s=5)
    assert len(notes()) < 100


def test_http_1_0_client_gets_the_stream_without_chunks(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        body = b'{"count": 3}'
        client.sendall(b"POST /invocations HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        received = b""
        while chunk := client.recv(4096):  # HTTP/1.0 knows no chunks: the end of the connection is that of the answer
            received += chunk
    assert received.endswith(b"\r\n\r\n0 1 2 ")
    assert b"Transfer-Encoding" not in received


SCRIPT = """
def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return int(data)

def predict_fn(data, model):
    for n in range(data):
        yield {"n": n}
"""
OUTPUT = """
def output_fn(prediction, accept):
    return (f"<{part['n']}>" for part in prediction), "text/html"
"""


@pytest.mark.parametrize(
    ("script", "expected", "kind"),
    [
        (SCRIPT, b'{"n":0}\n{"n":1}\n', "application/jsonlines"),
        (SCRIPT + OUTPUT, b"<0><1>", "text/html"),
        (
            "def model_fn(d): pass\ndef transform_fn(model, data, kind, accept):\n    yield data\n    yield b'!'\n",
            b"2!",
            "text/plain; charset=utf-8",
        ),
    ],
)
def test_script_functions_that_yield_are_streamed(
    start: Start, root: Path, script: str, expected: bytes, kind: str
) -> None:
    (root / "code" / "inference.py").write_text(script)
    server = start(root, MODEL_HANDLER="").ready()
    answer = server.post(data=b"2", headers={"Content-Type": "application/json"}, stream=True)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert (answer.content, answer.headers["Content-Type"]) == (expected, kind)
