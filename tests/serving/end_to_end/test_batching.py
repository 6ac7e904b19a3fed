"""Batches and sub-batches in a running server."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

HANDLER = """
class Sized:
    batch_size = 8
    batch_delay_ms = 600
    def cost(self, value):
        return len(value)
    def load(self, model_dir):
        return None
    def predict(self, model, inputs):
        if "poison" in inputs:
            raise ValueError("poisoned")
        return [[value, len(inputs), inputs.index(value)] for value in inputs]
"""


def start_sized(start: Start, root: Path, **environ: str) -> Any:
    (root / "code/sized.py").write_text(HANDLER)
    return start(root, MODEL_HANDLER="sized:Sized", **environ).ready()


def test_batch_delay_joins_requests_of_several_connections(start: Start, root: Path) -> None:
    server = start_sized(start, root)
    words = ["a" * (7 - n) for n in range(7)]
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(server.ask, words))
        assert answers == [[word, 7, 6 - n] for n, word in enumerate(words)]  # shortest first
        poisoned = pool.submit(server.post, json="poison")
        assert [answer[0] for answer in pool.map(server.ask, words)] == words
        assert poisoned.result().status_code == 500
    began = time.monotonic()
    server.ask("alone")
    assert 0.55 < time.monotonic() - began < 3


def test_exception_in_cost_fails_its_own_request(start: Start, root: Path) -> None:
    server = start_sized(start, root, MODEL_SERVER_BATCH_DELAY_MS="0")
    assert server.post(json=5).status_code == 500  # an int has no len
    assert server.ask("abc") == ["abc", 1, 0]


def sleeps(count: int, seconds: float) -> bytes:
    return b"\n".join([json.dumps({"sleep": seconds}).encode()] * count)


def post_lines(server: Server, body: bytes) -> Any:
    return server.post(data=body, headers={"Content-Type": "application/jsonlines"}, timeout=60)


@pytest.fixture(scope="module")
def splitting(start_for_module: Start) -> Server:
    return start_for_module(MODEL_SERVER_BATCH_SIZE="2", MODEL_SERVER_TIMEOUT="4").ready()


def test_single_inputs_are_answered_during_a_large_request(splitting: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        bulk = pool.submit(post_lines, splitting, sleeps(50, 0.05))
        splitting.until(lambda: "byo_computing_batches" in splitting.get("/metrics").text, "something is computed")
        while not bulk.done():
            assert splitting.ask({"ask": "together"}) in (1, 2)
            answered_before = not bulk.done()
            if answered_before:
                break
        assert answered_before
        assert bulk.result().status_code == 200


def test_large_request_that_times_out_gets_504_and_the_worker_stays(splitting: Server) -> None:
    before = splitting.workers()
    assert post_lines(splitting, sleeps(1000, 0.02)).status_code == 504
    assert splitting.ask("next") == "next"
    assert "giving its thread up" not in splitting.log()
    assert splitting.workers() == before
