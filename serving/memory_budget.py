"""How many bytes a worker holds for its requests at the same time.

A limit on one body and a limit on the number of waiting requests do not limit their product. So each large body takes
its bytes from a budget, from before it is read until its reply is made, and a body that does not fit has to wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache

from gevent.event import Event
from gevent.lock import Semaphore

from byo_container.serving.errors import RequestError

# Bodies above this count, and are decoded and encoded in a thread beside the event loop, which would stand still.
LARGE_BODY = 32 * 1024
# Seconds that a large request waits for others to give back what they hold, before it is refused with 503.
PATIENCE_S = 10.0
# The budgets of a worker, as multiples of the largest payload: for bodies as they arrived, for the values that are
# decoded from them, and for the messages of WebSockets.
BODIES, VALUES, MESSAGES = 4, 24, 4


class Budget:
    """`size` bytes, granted in the order of requests. A request for more than all of it gets all of it.

    For the greenlets of one thread.
    """

    def __init__(self, size: int, patience_s: float = PATIENCE_S) -> None:
        self.size = size
        self.held = 0
        self._patience_s = patience_s
        self._waiting: deque[tuple[int, Event]] = deque()

    def take(self, amount: int) -> int:
        """Waits until there is room; returns the amount that has to be given back. Raises RequestError 503 if there is
        none in time."""
        amount = min(amount, self.size)
        if not self._waiting and self.take_at_once(amount):
            return amount
        mine = (amount, Event())
        self._waiting.append(mine)
        granted = False
        try:
            granted = mine[1].wait(self._patience_s)
        finally:
            if not granted:
                self._withdraw(mine)
        if not granted:
            raise RequestError(
                503, "the large requests that are here fill the memory for them; try again", (("Retry-After", "1"),)
            )
        return amount

    def take_at_once(self, amount: int) -> bool:
        """Takes the whole amount or nothing, without waiting."""
        if self.held + amount > self.size:
            return False
        self.held += amount
        return True

    def give(self, amount: int) -> None:
        self.held -= amount
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self.take_at_once(self._waiting[0][0]):
            self._waiting.popleft()[1].set()

    def _withdraw(self, mine: tuple[int, Event]) -> None:
        """For a greenlet that waits no longer: its amount may have been granted in this very turn of the loop."""
        if mine[1].is_set():
            self.give(mine[0])
        else:
            self._waiting.remove(mine)
            self._grant()  # those behind it may fit


class Share:
    """What one request holds of a budget; small amounts are free. As a context manager it gives all of it back at the
    end, or at the end of the stream that it is kept for."""

    __slots__ = ("_budget", "_held", "_kept")  # one is made for each request

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0
        self._kept = False

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held and not self._kept:
            self.keep(0)

    def take(self, amount: int) -> None:
        """Raises RequestError 503, as Budget.take does."""
        if amount > LARGE_BODY:
            self._held += self._budget.take(amount)

    def grow(self, amount: int) -> bool:
        """Takes what is missing to `amount`, without waiting. False if there is no room for it."""
        missing = min(amount, self._budget.size) - self._held
        if amount <= LARGE_BODY or missing <= 0:
            return True
        if not self._budget.take_at_once(missing):
            return False
        self._held += missing
        return True

    def keep(self, amount: int) -> None:
        """Gives back all but `amount`."""
        excess = self._held - amount
        if excess > 0:
            self._held = amount
            self._budget.give(excess)

    def keep_until(self, on_close: Callable[[Callable[[], None]], None]) -> None:
        """Keeps it beyond the `with`, until the stream calls what is passed to its `on_close`."""
        if self._held:
            self._kept = True
            on_close(self._give_all)

    def _give_all(self) -> None:
        self.keep(0)


class Budgets:
    """The budgets of one worker. A request takes from `bodies` first and then from `values`: one that holds values
    waits for no other, so there is no deadlock."""

    def __init__(self, max_payload: int) -> None:
        self.bodies = Budget(BODIES * max_payload)
        self.values = Budget(VALUES * max_payload)
        self.messages = Budget(MESSAGES * max_payload)
        self.decoding = Semaphore()
        """Held while a large body is decoded. Parsers keep the GIL, so two at once are no quicker, and one after
        another leaves the event loop its turn between them."""


@cache
def of_worker(max_payload: int) -> Budgets:
    """The budgets of this process, which is one worker."""
    return Budgets(max_payload)
