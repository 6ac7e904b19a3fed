"""The line of requests that wait for a thread, and how batches are taken from it."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from gevent.hub import Waiter


@dataclass(frozen=True)
class Batching:
    """How requests are put together; what a handler says of itself, unless the environment says otherwise."""

    size: int = 32
    """The most inputs in one call. A request that has more by itself goes alone."""
    delay_s: float = 0.0
    """How long a request waits for company while a thread is free."""
    cost: float = math.inf
    """The most that a batch may cost: its dearest input's cost times the number of inputs, as padding makes it."""


class Ticket:
    """One request in the engine: what is to be computed, and the greenlet that waits for it."""

    __slots__ = (
        "arrived",
        "cost",
        "deadline",
        "finished",
        "item",
        "outcome",
        "request_id",
        "size",
        "started",
        "waiter",
    )

    def __init__(self, item: Any, deadline: float, size: int = 1, cost: float = 0.0, request_id: str = "") -> None:
        self.item = item
        self.deadline = deadline
        self.size = size
        self.cost = cost
        self.request_id = request_id
        self.arrived = time.monotonic()
        self.started = self.finished = 0.0
        self.waiter = Waiter()
        self.outcome: Any = None


class Line:
    """Tickets in the order of their arrival. Filled in the event loop, emptied by one thread at a time."""

    def __init__(self) -> None:
        self._arrivals: deque[Ticket] = deque()
        self._line: list[Ticket] = []

    def __len__(self) -> int:
        return len(self._arrivals) + len(self._line)

    def extend(self, tickets: list[Ticket]) -> None:
        self._arrivals.extend(tickets)

    def ready_at(self, batching: Batching) -> float:
        """When a batch should be taken: at once (0) where there is enough for a full one, never (infinity) where
        nobody waits, else when the first one has waited for as long as it may."""
        self._settle()
        if not self._line:
            return math.inf
        if not batching.delay_s or sum(ticket.size for ticket in self._line) >= batching.size:
            return 0.0
        if batching.cost < math.inf and sum(ticket.cost * ticket.size for ticket in self._line) >= batching.cost:
            return 0.0
        return self._line[0].arrived + batching.delay_s

    def take(self, batching: Batching) -> list[Ticket]:
        """The one that has waited longest, and whoever fits best beside it. Cheapest first, so that a handler that
        pads gets alike next to alike."""
        self._settle()
        if not self._line:
            return []
        if len(self._line) == 1:
            batch, self._line = self._line, []
            return batch
        first, *others = self._line
        if any(ticket.cost for ticket in self._line):
            others.sort(key=lambda ticket: abs(ticket.cost - first.cost))  # stable: of equals the older one
        batch, inputs, dearest = [first], first.size, first.cost
        for ticket in others:
            together, price = inputs + ticket.size, max(dearest, ticket.cost)
            if together > batching.size or together * price > batching.cost:
                break
            batch.append(ticket)
            inputs, dearest = together, price
        taken = set(batch)
        self._line = [ticket for ticket in self._line if ticket not in taken]
        return sorted(batch, key=lambda ticket: ticket.cost)

    def _settle(self) -> None:
        while self._arrivals:
            self._line.append(self._arrivals.popleft())
