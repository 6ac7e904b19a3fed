"""How batches are taken from the queue: by size, delay and cost."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from byo_container.serving.engine.queue import BatchPolicy, PendingRequest, RequestQueue
from byo_container.serving.engine.work import Work

if TYPE_CHECKING:
    pass


def queue_of(*costs_and_sizes: tuple[float, int]) -> RequestQueue:
    waiting = RequestQueue()
    waiting.extend([PendingRequest(Work(n, size, cost), math.inf) for n, (cost, size) in enumerate(costs_and_sizes)])
    return waiting


def items(batch: list[PendingRequest]) -> list[Any]:
    return [request.item for request in batch]


def test_max_size_counts_inputs_in_order() -> None:
    waiting = queue_of((0, 2), (0, 2), (0, 1), (0, 9), (0, 1))
    policy = BatchPolicy(max_size=4)
    assert [items(waiting.take(policy)) for _ in range(4)] == [[0, 1], [2], [3], [4]]
    assert waiting.take(policy) == []


def test_requests_of_similar_cost_join_the_oldest_one() -> None:
    waiting = queue_of((100, 1), (1, 1), (90, 1), (2, 1), (95, 1))
    policy = BatchPolicy(max_size=3)
    assert items(waiting.take(policy)) == [2, 4, 0]  # cheapest first
    assert items(waiting.take(policy)) == [1, 3]


def test_max_cost_limits_batches_of_several_requests() -> None:
    waiting = queue_of((10, 1), (10, 1), (10, 1), (99, 1))
    policy = BatchPolicy(max_cost=20)
    assert [items(waiting.take(policy)) for _ in range(3)] == [[0, 1], [2], [3]]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), min_size=1), st.integers(1, 8), st.integers(1, 200))
def test_every_request_is_taken_once_within_the_limits(waiting: list[tuple[float, int]], size: int, cost: int) -> None:
    taken = []
    queue = queue_of(*waiting)
    while batch := queue.take(BatchPolicy(size, 0.0, cost)):
        taken += items(batch)
        inputs = sum(request.size for request in batch)
        assert len(batch) == 1 or (inputs <= size and inputs * max(request.cost for request in batch) <= cost)
    assert sorted(taken) == list(range(len(waiting)))


def test_batch_is_ready_when_full_or_after_the_delay() -> None:
    waiting = queue_of((0, 1), (0, 1))
    now = time.monotonic()
    assert waiting.ready_at(BatchPolicy(max_size=2, max_delay_s=9)) == 0
    assert now + 8 < waiting.ready_at(BatchPolicy(max_size=3, max_delay_s=9)) <= now + 9
    assert waiting.ready_at(BatchPolicy(max_size=3)) == 0
    assert RequestQueue().ready_at(BatchPolicy()) == math.inf
