"""The line of requests that wait for a thread, and how batches are taken from it.

A request that is too large for one call comes in slices. Only one of them is in the line or being computed at a time,
and a call with small requests follows each call with a slice where any wait: so a small request waits for one slice at
most, whatever else is under way. Of several large requests the one with the fewest slices left goes first: taking turns
among themselves would make all of them late, the first one too.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gevent.hub import Waiter


@dataclass(frozen=True)
class BatchPolicy:
    """How requests are put together; what a handler says of itself, unless the environment says otherwise."""

    max_size: int = 32
    """The most inputs in one call. A request that has more by itself goes alone."""
    max_delay_s: float = 0.0
    """How long a request waits for company while a thread is free."""
    max_cost: float = math.inf
    """The most that a batch may cost: its dearest input's cost times the number of inputs, as padding makes it."""
    max_per_turn: int = 1
    """The most requests that a thread takes at once to compute them one by one (`size` is 1), where that is quick."""


class Slice(NamedTuple):
    """What one call computes of a large request: an item for the engine, its inputs, the cost of the dearest."""

    item: Any
    size: int = 1
    cost: float = 0.0


class Slices(list[Slice]):
    """A large request, as an item for the engine: its outcome is the list of theirs."""


class PendingRequest:
    """One request in the engine: what is to be computed, and the greenlet that waits for it. One of a large request
    stands for one slice after another."""

    __slots__ = (
        "_left",
        "_outcomes",
        "alone",
        "arrived",
        "computed_s",
        "cost",
        "deadline",
        "finished",
        "item",
        "large",
        "outcome",
        "request_id",
        "size",
        "waiter",
    )

    def __init__(
        self,
        item: Any,
        deadline: float,
        size: int = 1,
        cost: float = 0.0,
        request_id: str = "",
        alone: bool = False,
    ) -> None:
        self.large = isinstance(item, Slices)
        """Whether it comes in slices."""
        if self.large:
            self._left: list[Slice] = item[:0:-1]
            self._outcomes: list[Any] = []
            item, size, cost = item[0]
        self.item = item
        self.size = size
        self.cost = cost
        self.deadline = deadline
        self.request_id = request_id
        self.alone = alone
        """Whether it shares no call with others."""
        self.arrived = time.monotonic()
        self.finished = 0.0
        self.computed_s = 0.0
        """How long its calls have taken together."""
        self.waiter = Waiter()
        self.outcome: Any = None

    @property
    def left(self) -> int:
        """How many calls follow the one that is next; of a large request."""
        return len(self._left)

    def advance(self, outcome: Any) -> bool:
        """Notes the outcome of a call. Whether another one follows, for which the ticket then stands: where one slice
        fails, the request does."""
        self.outcome = outcome
        if not self.large or isinstance(outcome, BaseException):
            return False
        self._outcomes.append(outcome)
        if not self._left:
            self.outcome = self._outcomes
            return False
        self.item, self.size, self.cost = self._left.pop()
        return True


class RequestQueue:
    """Tickets in the order of their arrival, large requests apart. Filled by anybody, emptied by one thread at a
    time."""

    def __init__(self) -> None:
        self._arrivals: deque[PendingRequest] = deque()
        self._line: list[PendingRequest] = []
        self._large: list[PendingRequest] = []
        self._large_next = False

    def __len__(self) -> int:
        return len(self._arrivals) + len(self._line) + len(self._large)

    def extend(self, tickets: Iterable[PendingRequest]) -> None:
        self._arrivals.extend(tickets)

    def put_back(self, tickets: list[PendingRequest]) -> None:
        """Those that were taken, and not computed: ahead of what has arrived since."""
        self._arrivals.extendleft(reversed(tickets))

    def ready_at(self, batching: BatchPolicy) -> float:
        """When a batch should be taken: at once (0) where there is enough for a full one or what waits for nobody,
        never (infinity) where nobody waits, else when the first one has waited for as long as it may."""
        self._settle()
        if self._large:
            return 0.0
        if not self._line:
            return math.inf
        if not batching.max_delay_s or sum(ticket.size for ticket in self._line) >= batching.max_size:
            return 0.0
        if any(ticket.alone for ticket in self._line):
            return 0.0
        if (
            batching.max_cost < math.inf
            and sum(ticket.cost * ticket.size for ticket in self._line) >= batching.max_cost
        ):
            return 0.0
        return self._line[0].arrived + batching.max_delay_s

    def take(self, batching: BatchPolicy) -> list[PendingRequest]:
        """The one whose turn it is, and whoever fits best beside it. Cheapest first, so that a handler that pads gets
        alike next to alike."""
        self._settle()
        if len(self._line) + len(self._large) < 2:
            batch = [*self._line, *self._large]
            self._large_next = bool(self._line)
            self._line, self._large = [], []
            return batch
        first, *others = self._in_turn()
        batch, inputs, dearest = [first], first.size, first.cost
        for ticket in () if first.alone else others:
            together, price = inputs + ticket.size, max(dearest, ticket.cost)
            if ticket.alone or together > batching.max_size or together * price > batching.max_cost:
                break
            batch.append(ticket)
            inputs, dearest = together, price
        if len(batch) == len(self._line) + len(self._large):
            self._line, self._large = [], []
        else:
            taken = set(batch)
            self._line = [ticket for ticket in self._line if ticket not in taken]
            self._large = [ticket for ticket in self._large if ticket not in taken]
        return sorted(batch, key=lambda ticket: ticket.cost) if dearest else batch

    def _in_turn(self) -> list[PendingRequest]:
        """The one that is next, and those that may come along, the best first."""
        large = min(self._large, key=lambda ticket: ticket.left, default=None)  # of equals the older one
        turn_of_large = large is not None and (self._large_next or not self._line)
        self._large_next = not turn_of_large
        if large and turn_of_large:
            first, others, last = large, self._line, []
        else:
            first, *others = self._line
            last = [large] if large else []
        if any(ticket.cost for ticket in self._line):
            others = sorted(others, key=lambda ticket: abs(ticket.cost - first.cost))  # stable: of equals the older one
        return [first, *others, *last]

    def _settle(self) -> None:
        while self._arrivals:
            ticket = self._arrivals.popleft()
            (self._large if ticket.large else self._line).append(ticket)
