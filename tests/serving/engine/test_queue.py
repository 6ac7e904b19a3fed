"""How batches are put together: by size, delay and cost, and by halves where one fails."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from byo_container.serving.engine import bisect_failures
from byo_container.serving.engine.queue import BatchPolicy, PendingRequest, RequestQueue
from byo_container.serving.engine.work import Work

if TYPE_CHECKING:
    from tests.serving.support.server import Start


def line(*costs_and_sizes: tuple[float, int]) -> RequestQueue:
    waiting = RequestQueue()
    waiting.extend([PendingRequest(Work(n, size, cost), math.inf) for n, (cost, size) in enumerate(costs_and_sizes)])
    return waiting


def items(batch: list[PendingRequest]) -> list[Any]:
    return [ticket.item for ticket in batch]


def test_size_counts_inputs_and_order_is_kept() -> None:
    waiting = line((0, 2), (0, 2), (0, 1), (0, 9), (0, 1))
    policy = BatchPolicy(max_size=4)
    assert [items(waiting.take(policy)) for _ in range(4)] == [[0, 1], [2], [3], [4]]
    assert waiting.take(policy) == []


def test_alike_goes_with_alike_and_the_oldest_is_never_passed_over() -> None:
    waiting = line((100, 1), (1, 1), (90, 1), (2, 1), (95, 1))
    policy = BatchPolicy(max_size=3)
    assert items(waiting.take(policy)) == [2, 4, 0]  # cheapest first
    assert items(waiting.take(policy)) == [1, 3]


def test_no_batch_costs_more_than_it_may_but_one_that_is_alone() -> None:
    waiting = line((10, 1), (10, 1), (10, 1), (99, 1))
    policy = BatchPolicy(max_cost=20)
    assert [items(waiting.take(policy)) for _ in range(3)] == [[0, 1], [2], [3]]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), min_size=1), st.integers(1, 8), st.integers(1, 200))
def test_every_ticket_is_taken_once_and_no_limit_is_passed(
    waiting: list[tuple[float, int]], size: int, cost: int
) -> None:
    taken = []
    tickets = line(*waiting)
    while batch := tickets.take(BatchPolicy(size, 0.0, cost)):
        taken += items(batch)
        inputs = sum(ticket.size for ticket in batch)
        assert len(batch) == 1 or (inputs <= size and inputs * max(ticket.cost for ticket in batch) <= cost)
    assert sorted(taken) == list(range(len(waiting)))


def test_a_full_batch_does_not_wait_and_another_waits_from_its_first_arrival_on() -> None:
    waiting = line((0, 1), (0, 1))
    now = time.monotonic()
    assert waiting.ready_at(BatchPolicy(max_size=2, max_delay_s=9)) == 0
    assert now + 8 < waiting.ready_at(BatchPolicy(max_size=3, max_delay_s=9)) <= now + 9
    assert waiting.ready_at(BatchPolicy(max_size=3)) == 0
    assert RequestQueue().ready_at(BatchPolicy()) == math.inf


@given(st.sets(st.integers(0, 31)))
def test_the_poisoned_fail_alone_and_soon(poisoned: set[int]) -> None:
    calls = 0

    def compute(items: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if poisoned & set(items):
            raise ValueError("poisoned")
        return items

    outcomes = bisect_failures.run(compute, list(range(32)))
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)] == sorted(poisoned)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == sorted(set(range(32)) - poisoned)
    assert calls <= (11 if len(poisoned) == 1 else 63)


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


def test_requests_of_several_connections_wait_for_each_other(start: Start, root: Path) -> None:
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


def test_a_request_that_cost_refuses_fails_alone(start: Start, root: Path) -> None:
    server = start_sized(start, root, MODEL_SERVER_BATCH_DELAY_MS="0")
    assert server.post(json=5).status_code == 500  # an int has no len
    assert server.ask("abc") == ["abc", 1, 0]
