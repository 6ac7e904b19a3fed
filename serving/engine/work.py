"""What is submitted to the engine: the items of one request, or a function that runs alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Work:
    """One request's work: `item` goes to the model's `compute`. It holds `size` inputs, the most expensive of which
    costs `cost`. A request that is too large for one call has `sub_batches`: each is computed in a call of its own, and
    the outcome of the request is the list of theirs."""

    __slots__ = ("cost", "item", "size", "sub_batches")  # a dataclass would take a microsecond longer
    runs_alone = False

    def __init__(self, item: Any, size: int = 1, cost: float = 0.0, sub_batches: Sequence[Work] = ()) -> None:
        self.item = item
        self.size = size
        self.cost = cost
        self.sub_batches = sub_batches


class Task(Work):
    """A function to call in a compute thread, for a request that is under way, such as a step of its stream. It shares
    no call with other requests, waits for no batch to fill up, and is not refused when the queue is full."""

    __slots__ = ()
    runs_alone = True

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(function)
