"""Requests go to a worker that is free."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.serving.support.server import Start


def test_request_goes_to_a_free_worker_not_behind_a_slow_one(start: Start) -> None:
    server = start(MODEL_SERVER_WORKERS="2").ready()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            first = pool.submit(server.post, json={"sleep": 0.5})
            time.sleep(0.1)
            second = pool.submit(server.post, json={"sleep": 0.5})
            assert {first.result().json(), second.result().json()} == set(server.workers())


def test_requests_beyond_the_workers_wait_and_are_all_answered(start: Start) -> None:
    server = start(MODEL_SERVER_WORKERS="2").ready()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: server.post(json={"sleep": 0.2}), range(12)))
        assert server.status() == 200
    assert [answer.status_code for answer in answers] == [200] * 12
