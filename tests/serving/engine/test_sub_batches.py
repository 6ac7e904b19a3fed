"""A request that is too large for one call is computed in sub-batches, and small requests in between."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import BatchPolicy, PendingRequest, RequestQueue
from byo_container.serving.engine.work import Task, Work
from byo_container.serving.errors import RequestError
from tests.serving.support import engine as support
from tests.serving.support.engine import do_nothing

if TYPE_CHECKING:
    pass


def small(name: str) -> PendingRequest:
    return PendingRequest(Work(name), math.inf)


def large(name: str, count: int, size: int = 4) -> PendingRequest:
    return PendingRequest(Work(name, sub_batches=[Work(f"{name}{n}", size) for n in range(count)]), math.inf)


def in_order(queue: RequestQueue, arrivals: dict[int, list[PendingRequest]], calls: int) -> list[list[Any]]:
    """The items of each call. `arrivals` are those that come before call n; a large request
    returns to the queue with its next sub-batch when the last one is computed, as in the engine."""
    taken = []
    for number in range(calls):
        queue.extend(arrivals.get(number, []))
        batch = queue.take(BatchPolicy(max_size=4))
        taken.append([request.item for request in batch])
        queue.extend([request for request in batch if request.advance("done")])
    return taken


def test_small_request_waits_for_one_sub_batch_at_most() -> None:
    arrivals = {0: [large("a", 3), large("b", 2)], 1: [small("x")], 3: [small("y"), small("z")]}
    assert in_order(RequestQueue(), arrivals, 8) == [["b0"], ["x"], ["b1"], ["y", "z"], ["a0"], ["a1"], ["a2"], []]


def test_large_request_is_not_starved_by_small_ones() -> None:
    arrivals = {0: [large("a", 2)]} | {number: [small("x")] for number in range(1, 6)}
    assert in_order(RequestQueue(), arrivals, 6) == [["a0"], ["x"], ["a1"], ["x", "x"], ["x"], ["x"]]


def test_small_request_joins_a_sub_batch_with_room() -> None:
    arrivals = {0: [large("a", 3, size=3)], 1: [small("x"), small("y")]}
    assert in_order(RequestQueue(), arrivals, 4) == [["a0"], ["x", "y"], ["a1"], ["a2"]]
    arrivals = {0: [large("a", 3, size=3)], 1: [small("x")]}
    assert in_order(RequestQueue(), arrivals, 3) == [["a0"], ["x", "a1"], ["a2"]]


def test_task_runs_alone() -> None:
    step = PendingRequest(Task(do_nothing), math.inf)
    assert in_order(RequestQueue(), {0: [small("x"), step, small("y")]}, 3) == [["x"], [do_nothing], ["y"]]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6)), max_size=12))
def test_every_second_call_is_for_small_requests(requests: list[tuple[int, int]]) -> None:
    arrivals: dict[int, list[PendingRequest]] = {}
    for number, (when, slices) in enumerate(requests):
        request = large(f"large {number}.", slices) if slices > 1 else small(f"small {number}")
        arrivals.setdefault(when, []).append(request)
    calls = in_order(RequestQueue(), arrivals, 100)
    assert len([item for call in calls for item in call]) == sum(slices for _, slices in requests)
    waiting = 0
    for number, call in enumerate(calls):
        waiting += sum(not request.large for request in arrivals.get(number, []))
        got = sum(item.startswith("small") for item in call)
        following = calls[number + 1] if number + 1 < len(calls) else []
        assert got or not waiting or any(item.startswith("small") for item in following)
        waiting -= got


# --- the engine ---------------------------------------------------------------------------------


def engine_of(compute: Any, policy: BatchPolicy = BatchPolicy(max_size=4), **options: Any) -> Engine:  # noqa: B008
    return support.engine_of(compute, policy=policy, **options)


def in_sub_batches(*items: Any) -> Work:
    return Work(None, sub_batches=[Work(item, 4) for item in items])


class Gate:
    """Computes a call each time it is opened."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self._open = threading.Semaphore(0)

    def __call__(self, items: list[Any]) -> list[Any]:
        self.calls.append(items)
        assert self._open.acquire(timeout=20)
        if "bad" in items:
            raise ValueError("bad")
        return [f"<{item}>" for item in items]

    def open(self, times: int = 1) -> None:
        self._open.release(times)

    def reached(self, calls: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.calls) < calls:
            assert time.monotonic() < deadline, self.calls
            gevent.sleep(0.002)


def test_engine_computes_small_requests_between_sub_batches() -> None:
    gate = Gate()
    engine = engine_of(gate)
    bulk = gevent.spawn(engine.submit, in_sub_batches("a", "b", "c"))
    gate.reached(1)
    one = gevent.spawn(engine.submit, Work("x"))
    gevent.sleep(0.01)
    gate.open(2)
    assert one.get(timeout=20) == "<x>"
    gate.open(2)
    assert bulk.get(timeout=20) == ["<a>", "<b>", "<c>"]
    assert gate.calls == [["a"], ["x"], ["b"], ["c"]]


def test_failed_sub_batch_ends_the_request() -> None:
    gate = Gate()
    engine = engine_of(gate)
    gate.open(9)
    with pytest.raises(ValueError, match="bad"):
        engine.submit(in_sub_batches("a", "bad", "c"))
    assert engine.submit(Work("x")) == "<x>"
    assert gate.calls == [["a"], ["bad"], ["x"]]


def test_sub_batches_of_a_timed_out_request_are_dropped() -> None:
    stuck: list[int] = []
    calls: list[list[Any]] = []

    def compute(items: list[Any]) -> list[Any]:
        calls.append(items)
        time.sleep(0.05)
        return items

    engine = engine_of(compute, timeout_s=0.5, on_stuck=lambda: stuck.append(1))
    with pytest.raises(RequestError, match="within 0 s"):
        engine.submit(in_sub_batches(*range(10_000)))
    seen = len(calls)
    assert engine.submit(Work("x")) == "x"
    assert calls[seen:] in ([["x"]], [[seen], ["x"]])
    assert not stuck


def test_engine_counts_as_busy_between_sub_batches() -> None:
    """Or it would take the next large request, too, while another worker has nothing to do."""
    seen: list[bool] = []

    def compute(items: list[Any]) -> list[Any]:
        time.sleep(0.02)
        return items

    engine = engine_of(compute)
    engine.submit(Work("slow"))
    engine.on_delivered = lambda: seen.append(engine.all_threads_busy or engine.has_enough_queued)
    engine.submit(in_sub_batches(1, 2, 3, 4))
    assert all(seen[:3])
    assert not engine.has_enough_queued


def test_metrics_count_calls_and_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    from byo_container.serving.metrics import prometheus

    inputs: list[float] = []
    stages: dict[str, list[float]] = {"queue": [], "predict": []}
    monkeypatch.setattr(prometheus.batch_inputs, "observe", inputs.append)
    for name, seen in stages.items():
        monkeypatch.setattr(prometheus.stages[name], "observe", seen.append)

    def compute(items: list[Any]) -> list[Any]:
        time.sleep(0.02)
        return items

    engine_of(compute).submit(in_sub_batches(1, 2, 3))
    assert inputs == [4, 4, 4]
    assert len(stages["queue"]) == len(stages["predict"]) == 1
    assert 0.06 <= stages["predict"][0] < 10


# --- a model that gets one request a call -------------------------------------------------------


def test_quick_calls_share_a_turn_and_slow_ones_do_not() -> None:
    wakes: list[int] = []
    calls: list[list[Any]] = []

    def compute(items: list[Any]) -> list[Any]:
        calls.append(items)
        time.sleep(max(items))
        return items

    engine = engine_of(compute, policy=BatchPolicy(max_size=1, max_per_turn=32))
    engine.on_delivered = lambda: wakes.append(1)

    def all_of(items: list[float]) -> int:
        """How often the event loop was notified."""
        wakes.clear()
        greenlets = [gevent.spawn(engine.submit, Work(item)) for item in items]
        gevent.joinall(greenlets, timeout=20, raise_error=True)
        return len(wakes)

    all_of([0.0])
    for _ in range(50):  # until a slow first call is forgotten
        all_of([0.0])
    assert all_of([0.0] * 20) < 20
    assert all(len(call) == 1 for call in calls)
    assert all_of([0.05] * 5) == 5


def test_stuck_call_in_a_turn_times_out_alone() -> None:
    hanging = threading.Event()

    def compute(items: list[Any]) -> list[Any]:
        if items == ["hang"]:
            hanging.wait(30)
        return items

    engine = engine_of(compute, policy=BatchPolicy(max_size=1, max_per_turn=32), timeout_s=1.0)
    for _ in range(50):
        engine.submit(Work("quick"))
    greenlets = [gevent.spawn(engine.submit, Work(item)) for item in ["a", "hang", "b", "c"]]
    gevent.joinall(greenlets, timeout=20)
    hanging.set()
    assert [greenlet.value for greenlet in greenlets] == ["a", None, "b", "c"]
    assert isinstance(greenlets[1].exception, RequestError)
