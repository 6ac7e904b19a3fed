"""The queue of requests that wait for a compute thread, and how batches are taken from it.

A request that is too large for one call is computed in sub-batches. Only one of them is queued or being computed at a
time, and each call with a sub-batch is followed by one with small requests where any wait: so a small request waits for
one sub-batch at most, whatever else is under way. Of several large requests the one with the fewest sub-batches left
goes first: taking turns among themselves would make all of them late, the first one too.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gevent.hub import Waiter

from byo_container.serving.engine.work import Work


@dataclass(frozen=True)
class BatchPolicy:
    """How requests are batched. The handler sets it, the environment overrides it."""

    max_size: int = 32
    """The most inputs in one call. A request that has more by itself is computed alone."""
    max_delay_s: float = 0.0
    """How long a request waits for more requests while a thread is free."""
    max_cost: float = math.inf
    """The most that a batch may cost: the cost of its most expensive input times its inputs, as padding makes it."""
    max_per_turn: int = 1
    """The most requests that a thread takes at once to compute them one by one (`max_size` is 1), where calls are
    quick."""


class PendingRequest:
    """A request in the engine: what is to be computed, and the greenlet that waits for it. One with sub-batches stands
    for one of them after another."""

    __slots__ = (
        "_left",
        "_outcomes",
        "arrived",
        "computed_s",
        "cost",
        "deadline",
        "finished",
        "item",
        "large",
        "outcome",
        "request_id",
        "runs_alone",
        "size",
        "waiter",
        "withdrawn",
    )

    def __init__(self, work: Work, deadline: float, request_id: str = "") -> None:
        self.large = bool(work.sub_batches)
        """Whether it is computed in sub-batches."""
        if self.large:
            self._left = list(work.sub_batches[:0:-1])
            self._outcomes: list[Any] = []
            work = work.sub_batches[0]
        self.item = work.item
        self.size = work.size
        self.cost = work.cost
        self.runs_alone = work.runs_alone
        self.deadline = deadline
        self.request_id = request_id
        self.arrived = time.monotonic()
        self.finished = 0.0
        self.computed_s = 0.0
        """How long its calls have taken together."""
        self.withdrawn = False
        """Whether its greenlet was answered in place of the model, and nothing more of it is computed."""
        self.waiter = Waiter()
        self.outcome: Any = None

    @property
    def calls_left(self) -> int:
        """How many calls follow the next one, of a large request."""
        return len(self._left)

    def advance(self, outcome: Any) -> bool:
        """Records the outcome of a call. True where another call follows, for which this then stands. A sub-batch that
        fails ends the request."""
        self.outcome = outcome
        if not self.large or isinstance(outcome, BaseException):
            return False
        self._outcomes.append(outcome)
        if not self._left:
            self.outcome = self._outcomes
            return False
        work = self._left.pop()
        self.item, self.size, self.cost = work.item, work.size, work.cost
        return True


class RequestQueue:
    """Pending requests in the order of their arrival, large ones apart. Any thread adds, one thread at a time takes."""

    def __init__(self) -> None:
        self._arrivals: deque[PendingRequest] = deque()
        self._small: list[PendingRequest] = []
        self._large: list[PendingRequest] = []
        self._large_next = False

    def __len__(self) -> int:
        return len(self._arrivals) + len(self._small) + len(self._large)

    def extend(self, requests: Iterable[PendingRequest]) -> None:
        self._arrivals.extend(requests)

    def put_back(self, requests: list[PendingRequest]) -> None:
        """Returns requests that were taken and not computed: ahead of all that have arrived since."""
        self._arrivals.extendleft(reversed(requests))

    def ready_at(self, policy: BatchPolicy) -> float:
        """When the next batch should be taken, by the monotonic clock: 0 (at once) where a batch is full or a request
        does not wait, infinity where the queue is empty, else when the oldest request has waited for its delay."""
        self._sort_arrivals()
        if self._large:
            return 0.0
        if not self._small:
            return math.inf
        if not policy.max_delay_s or sum(request.size for request in self._small) >= policy.max_size:
            return 0.0
        if any(request.runs_alone for request in self._small):
            return 0.0
        if policy.max_cost < math.inf and sum(one.cost * one.size for one in self._small) >= policy.max_cost:
            return 0.0
        return self._small[0].arrived + policy.max_delay_s

    def take(self, policy: BatchPolicy) -> list[PendingRequest]:
        """The next request and those that fit best beside it, sorted by cost, so that a handler that pads gets inputs
        of similar size next to each other."""
        self._sort_arrivals()
        if len(self._small) + len(self._large) < 2:
            batch = [*self._small, *self._large]
            self._large_next = bool(self._small)
            self._small, self._large = [], []
            return batch
        first, *others = self._candidates()
        batch, inputs, max_cost = [first], first.size, first.cost
        for request in () if first.runs_alone else others:
            together, cost = inputs + request.size, max(max_cost, request.cost)
            if request.runs_alone or together > policy.max_size or together * cost > policy.max_cost:
                break
            batch.append(request)
            inputs, max_cost = together, cost
        if len(batch) == len(self._small) + len(self._large):
            self._small, self._large = [], []
        else:
            taken = set(batch)
            self._small = [request for request in self._small if request not in taken]
            self._large = [request for request in self._large if request not in taken]
        return sorted(batch, key=lambda request: request.cost) if max_cost else batch

    def _candidates(self) -> list[PendingRequest]:
        """The request that is next, then those that may share its call, the best first."""
        large = min(self._large, key=lambda request: request.calls_left, default=None)  # of equals the older one
        large_is_next = large is not None and (self._large_next or not self._small)
        self._large_next = not large_is_next
        if large and large_is_next:
            first, others, last = large, self._small, []
        else:
            first, *others = self._small
            last = [large] if large else []
        if any(request.cost for request in self._small):
            others = sorted(others, key=lambda request: abs(request.cost - first.cost))  # stable: of equals the older
        return [first, *others, *last]

    def _sort_arrivals(self) -> None:
        while self._arrivals:
            request = self._arrivals.popleft()
            (self._large if request.large else self._small).append(request)
