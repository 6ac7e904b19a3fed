"""Requests that wait together run together, in native threads beside the event loop.

A worker's event loop only speaks HTTP. What computes runs in threads of the operating system, so that /ping
is answered while a prediction takes its time. Whatever has queued up while a thread was busy is taken in one go:
an idle server adds no delay, a busy one makes batches.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import gevent
from gevent.hub import Waiter

from container.log import log
from serving.errors import RequestError

# A computation that takes longer is slow: requests are not queued up behind it. In seconds.
SLOW_S = 0.02


class Ticket:
    """One request in the engine: what is to be computed, and the greenlet that waits for it."""

    __slots__ = ("deadline", "item", "outcome", "waiter")

    def __init__(self, item: Any, deadline: float) -> None:
        self.item = item
        self.deadline = deadline
        self.waiter = Waiter()
        self.outcome: Any = None


class Engine:
    """Computes items in `threads` native threads, up to `batch_size` of them in a call.

    `compute` gets a list of items and returns as many outcomes; an outcome that is an exception is raised where
    its item was submitted. `prepare` runs first, in the thread that computes (frameworks bind their state to
    threads). One that does not answer within `timeout_s` is given up, its thread replaced, and `on_stuck` called.
    """

    def __init__(
        self,
        compute: Callable[[list[Any]], list[Any]],
        *,
        batch_size: int,
        threads: int,
        timeout_s: float,
        prepare: Callable[[], None] = lambda: None,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self._compute = compute
        self._batch_size = batch_size
        self._threads = threads
        self._timeout_s = timeout_s
        self._prepare = prepare
        self._on_stuck = on_stuck
        self.on_delivered: Callable[[], None] = lambda: None
        self._arrived: list[Ticket] = []  # in this turn of the event loop
        self._queue: deque[Ticket] = deque()
        self._call: SimpleQueue[None] = SimpleQueue()  # wakes a thread that waits for the queue
        self._waiting: dict[Ticket, None] = {}  # in the order of their deadlines
        self._done: deque[Ticket] = deque()
        # What each thread computes and since when; an empty list while it waits.
        self._running: dict[threading.Thread, tuple[float, list[Ticket]]] = {}
        self._hub = gevent.get_hub()
        self._wake = self._hub.loop.async_()
        self._wake.start(self._deliver)
        self._start_thread(first=True)
        gevent.spawn(self._watch_deadlines)

    def submit(self, item: Any) -> Any:
        """Computes one item; the calling greenlet waits. Raises what the computation raised, or RequestError
        504 after `timeout_s`."""
        ticket = Ticket(item, time.monotonic() + self._timeout_s)
        self._waiting[ticket] = None
        if not self._arrived:
            self._hub.loop.run_callback(self._enqueue)
        self._arrived.append(ticket)
        outcome = ticket.waiter.get()
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, BaseException):  # SystemExit would end the greenlet, and the client hear nothing
            raise RuntimeError(f"the model raised {outcome!r}") from outcome
        return outcome

    def _enqueue(self) -> None:
        """In the event loop: what has arrived in one turn of it, with one call. A thread that is woken for each
        request takes turns with the loop, and both spend their time on waking each other."""
        self._queue.extend(self._arrived)
        self._arrived.clear()
        self._call.put(None)

    @property
    def busy(self) -> bool:
        """Whether every thread has computed for a while: a new request would better go to another worker."""
        now = time.monotonic()
        running = list(self._running.values())
        return bool(running) and all(batch and now - since > SLOW_S for since, batch in running)

    def _start_thread(self, first: bool = False) -> None:
        # daemon: a computation that hangs must not keep the worker from ending
        threading.Thread(target=self._run, args=(first,), name="compute", daemon=True).start()

    def _run(self, first: bool) -> None:
        if first:
            self._prepare()
            for _ in range(self._threads - 1):
                self._start_thread()
        me = threading.current_thread()
        self._running[me] = (0.0, [])
        while me in self._running:  # not any more, once it has been given up
            batch = self._take()
            self._running[me] = (time.monotonic(), batch)
            if batch:
                outcomes, finished = self._outcomes(batch), batch.copy()
                batch.clear()  # idle again, before anybody is told
                self._finish(finished, outcomes)

    def _take(self) -> list[Ticket]:
        """What waits, at most a batch; blocks until there is something. Who has given up waiting is left out."""
        self._call.get()
        batch: list[Ticket] = []
        with suppress(IndexError):  # another thread may have been quicker
            while len(batch) < self._batch_size:
                batch.append(self._queue.popleft())
        if self._queue:
            self._call.put(None)  # for the next thread, or for this one again
        return [ticket for ticket in batch if ticket in self._waiting]

    def _outcomes(self, batch: list[Ticket]) -> list[Any]:
        try:
            return self._compute([ticket.item for ticket in batch])
        except BaseException as error:  # whatever it is, SystemExit too, a client waits for an answer
            return [error] * len(batch)

    def _finish(self, batch: list[Ticket], outcomes: list[Any]) -> None:
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.outcome = outcome
        self._done.extend(batch)
        self._wake.send()

    def _deliver(self) -> None:
        """In the event loop: hands each finished request to the greenlet that waits for it."""
        while self._done:
            ticket = self._done.popleft()
            if self._waiting.pop(ticket, self) is None:
                ticket.waiter.switch(ticket.outcome)
        self.on_delivered()

    def _watch_deadlines(self) -> None:
        while True:
            gevent.sleep(0.1)
            now = time.monotonic()
            for thread, (since, batch) in list(self._running.items()):
                if batch and now - since > self._timeout_s:
                    self._give_up(thread)
            for ticket in list(self._waiting):
                if ticket.deadline > now:
                    break
                self._expire(ticket)

    def _give_up(self, thread: threading.Thread) -> None:
        log.error("a prediction has not ended after %.0f s; giving its thread up", self._timeout_s)
        del self._running[thread]
        self._start_thread()
        self._on_stuck()

    def _expire(self, ticket: Ticket) -> None:
        del self._waiting[ticket]
        late = RequestError(504, f"the model did not answer within {self._timeout_s:.0f} s; send less at once")
        self._hub.loop.run_callback(ticket.waiter.switch, late)
