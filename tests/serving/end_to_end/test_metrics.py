"""GET /metrics counts the requests of all workers, and those that nginx answers itself."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.serving.support.metrics import measured

if TYPE_CHECKING:
    from tests.serving.support.server import Start


@pytest.mark.parametrize("switch", ["on", "off"])
def test_requests_are_counted_over_all_workers(start: Start, switch: str) -> None:
    server = start(MODEL_SERVER_WORKERS="3", MODEL_SERVER_NGINX=switch, SAGEMAKER_MAX_PAYLOAD_IN_MB="1").ready()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(server.ask, range(60)))
    for _ in range(3):
        server.post(data=b"{")
        server.post(json={"raise": "x"})
    server.post(data=b" " * 2_000_000)
    expected = {"200": 60, "400": 3, "500": 3, "413": 1}
    for _ in range(20):  # any worker answers for all

        def counted() -> dict[str, float]:
            found = measured(server)
            return {status: found.get(f'byo_requests_total{{status="{status}"}}', 0) for status in expected}

        server.until(lambda: counted() == expected, f"{expected} are counted")
    found = measured(server)
    for stage, number in (("queue", 63), ("decode", 63), ("predict", 63), ("encode", 60)):
        assert found[f'byo_stage_seconds_count{{stage="{stage}"}}'] == number
        assert found[f'byo_stage_seconds_bucket{{stage="{stage}",le="+Inf"}}'] == number
    assert found["byo_request_seconds_count"] >= 60
    assert found["byo_batch_inputs_sum"] == 63


def test_gauge_of_workers_ready(start: Start) -> None:
    server = start(MODEL_SERVER_WORKERS="3").ready()
    server.until(lambda: measured(server)["byo_workers_ready"] == 3, "three workers are ready")
    found = measured(server)
    assert [value for name, value in found.items() if name.startswith("byo_models_loaded")] == [1, 1, 1]


def test_histogram_buckets(start: Start) -> None:
    server = start().ready()
    server.ask({"sleep": 0.3})
    found = measured(server)
    assert found['byo_stage_seconds_bucket{stage="predict",le="0.25"}'] == 0
    assert found['byo_stage_seconds_bucket{stage="predict",le="30"}'] == 1
    assert 0.3 <= found['byo_stage_seconds_sum{stage="predict"}'] < 5
    assert 0.3 <= found["byo_request_seconds_sum"] < 5


def test_counters_survive_their_worker(start: Start) -> None:
    server = start().ready()
    for n in range(5):
        server.ask(n)
    (killed,) = server.workers()
    os.kill(killed, signal.SIGKILL)
    server.until(lambda: server.workers() not in ([], [killed]), "it is replaced")
    server.until(lambda: server.status("/metrics") == 200 and server.ask(1) == 1, "it answers")
    found = measured(server)
    assert found['byo_requests_total{status="200"}'] >= 6
    assert found["byo_worker_restarts_total"] == 1
    assert [name for name in found if str(killed) in name] == []


def test_metrics_are_answered_while_every_worker_computes(start: Start) -> None:
    server = start().ready()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(server.post, json={"sleep": 1.0}) for _ in range(4)]
        server.until(lambda: any(v for n, v in measured(server).items() if "computing" in n), "one computes")
        assert not any(future.done() for future in running)
    assert not any(value for name, value in measured(server).items() if "computing" in name or "waiting" in name)
