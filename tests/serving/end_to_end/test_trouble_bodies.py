"""Bodies that are small to send and large to hold: other clients do not wait, and the worker's memory stays bounded."""

from __future__ import annotations

import gzip
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.serving.support.server import TALKER

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

MEGABYTE = 1024 * 1024
PAYLOAD = 25 * MEGABYTE
# Far more than any of it takes on a machine that is busy, and far less than what it took without limits.
PATIENCE_S = 15.0


@pytest.fixture(scope="module", params=["nginx", "gunicorn alone"])
def server(request: pytest.FixtureRequest, start_for_module: Start) -> Server:
    nginx = "on" if request.param == "nginx" else "off"
    return start_for_module(MODEL_SERVER_NGINX=nginx).ready()


def peak_bytes(server: Server) -> int:
    """The most memory that the worker has had since the last call."""
    (worker,) = server.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    Path(f"/proc/{worker}/clear_refs").write_text("5")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def waits_of_others(server: Server, attack: ThreadPoolExecutor, running: list[Any]) -> float:
    """The longest that somebody else waited while an attack went on."""
    longest = 0.0
    while not all(future.done() for future in running):
        began = time.monotonic()
        assert server.ask(1, timeout=60) == 1
        assert server.get("/ping", timeout=60).status_code == 200
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.02)
    return longest


def attacked(server: Server, bodies: list[bytes], **headers: str) -> tuple[Counter[int], float, int]:
    """All of these at once: the answers by status, the longest wait of somebody else, and the worker's peak of memory
    above where it was."""
    before = peak_bytes(server)

    def send(body: bytes) -> int:
        try:
            return server.post(data=body, headers=headers, timeout=90).status_code
        except requests.ConnectionError:  # gunicorn alone closes with some of a body unread
            return 0

    with ThreadPoolExecutor(len(bodies)) as pool:
        running = [pool.submit(send, body) for body in bodies]
        longest = waits_of_others(server, pool, running)
    return Counter(future.result() for future in running), longest, peak_bytes(server) - before


JSON, CSV = "application/json", "text/csv"
# As many lists and objects as are let through, and as many as fit.
BOMBS = {
    "lists": (b"[" + b"[]," * (PAYLOAD // 3 - 2) + b"1]", JSON, {413}),
    "lists within the limit": (b"[" + b"[]," * 990_000 + b"1]", JSON, {200, 503}),
    "rows of CSV": (b"a\n" * (PAYLOAD // 2), CSV, {413}),
    "cells of CSV": (b"," * PAYLOAD, CSV, {413}),
}


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
def test_sixteen_gzip_bombs_at_once(server: Server, bomb: str) -> None:
    body, kind, statuses = BOMBS[bomb]
    packed = gzip.compress(body)
    assert len(packed) < 200_000
    seen, longest, memory = attacked(server, [packed] * 16, **{"Content-Encoding": "gzip", "Content-Type": kind})
    assert set(seen) <= statuses
    assert longest < PATIENCE_S
    assert memory < 1500 * MEGABYTE  # one of them became 600 MB


@pytest.mark.slow
def test_large_uploads_do_not_fill_the_workers_memory(server: Server) -> None:
    """What is beyond the budget is refused, or waits where it does not take the worker's memory."""
    seen, longest, memory = attacked(server, [b'"' + b"x" * (24 * MEGABYTE) + b'"'] * 24)
    assert set(seen) <= {200, 503, 0}
    assert seen[200] > 0
    assert longest < PATIENCE_S
    assert memory < 1000 * MEGABYTE
    assert server.post(data=b'"' + b"x" * (24 * MEGABYTE) + b'"').status_code == 200  # all was given back


def test_streams_release_their_share_of_the_body_budget(start: Start) -> None:
    """Room for four bodies of 1 MB: ten streams that are left, and ten that are read to their end."""
    server = start(handler=TALKER, SAGEMAKER_MAX_PAYLOAD_IN_MB="1").ready()
    padding = "x" * (MEGABYTE - 1000)
    for _ in range(10):
        body = {"count": 1000, "pause": 0.01, "padding": padding}
        with server.post(json=body, stream=True) as answer:
            assert next(answer.iter_content(1))
    for _ in range(10):
        assert server.post(json={"count": 2, "padding": padding}).text == "0 1 "
    answers = [server.post(json={"count": 2, "refuse": 0, "padding": padding}).status_code for _ in range(10)]
    assert answers == [400] * 10


def test_large_bodies_share_a_memory_budget(start: Start) -> None:
    server = start(SAGEMAKER_MAX_PAYLOAD_IN_MB="1").ready()
    body = {"sleep": 0.1, "padding": "x" * (MEGABYTE - 1000)}
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: server.post(json=body).status_code, range(12)))
    assert answers == [200] * 12


def test_charsets_of_quadratic_time_do_not_block_the_worker(server: Server) -> None:
    body = b"a-9b" * (64 * 1024)
    headers = {"Content-Type": "text/plain; charset=punycode"}
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda _: server.post(data=body, headers=headers).status_code, range(12)))
    assert set(statuses) == {415}
    assert server.ask(["x" * 100_000]) == ["x" * 100_000]  # decoded beside the event loop


def test_invalid_gzip_leaves_no_traceback(server: Server) -> None:
    assert server.post(data=b"no gzip", headers={"Content-Encoding": "gzip"}).status_code == 400
    assert "Traceback" not in server.log()


def test_npy_header_with_a_huge_shape_is_rejected(server: Server) -> None:
    numpy = pytest.importorskip("numpy")
    header = numpy.lib.format.header_data_from_array_1_0(numpy.zeros((1, 0)))
    text = repr(header | {"shape": (20_000_000, 0)}).encode() + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    answer = server.post(data=body, headers={"Content-Type": "application/x-npy"})
    assert answer.status_code == 400
    assert "no data" in answer.json()["message"]


def test_load_model_request_is_limited_in_size_and_origin(start: Start) -> None:
    server = start(SAGEMAKER_MULTI_MODEL="true", MODEL_SERVER_NGINX="off").ready()
    answer = server.post("/models", data=b'{"model_name": "' + b"x" * 100_000 + b'", "url": "/opt/ml/models/x"}')
    assert answer.status_code == 413
    assert "32 KB" in answer.json()["message"]
    body = {"model_name": "x", "url": "/nowhere"}
    assert server.post("/models", json=body, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert server.post("/models", json=body, headers={"Origin": server.url}).status_code == 400
    assert server.post("/models", json=body).status_code == 400
