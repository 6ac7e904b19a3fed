"""Requests that wait together run together, in native threads beside the event loop.

A worker's event loop only speaks HTTP. What computes runs in threads of the operating system, so that /ping
is answered while a prediction takes its time. Whatever has queued up while a thread was busy is taken in one go:
an idle server adds no delay, a busy one makes batches. Clients that have just been answered together mostly ask again
together, so after a slow call a thread waits for as many, for a small part of the time that the call took.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import gevent

from byo_container.container.log import REQUEST_ID, log
from byo_container.serving.engine.queue import BatchPolicy, PendingRequest, RequestQueue
from byo_container.serving.engine.streaming import Step
from byo_container.serving.errors import RequestError
from byo_container.serving.metrics import prometheus

# A computation that takes longer is slow: requests are not queued up behind it. In seconds.
SLOW_S = 0.02
# A model whose calls usually take longer is slow from the first moment of a call on.
USUALLY_SLOW_S = 0.005
# Of a model that takes one request a call the next one is collected only where a call takes less: another worker may
# become free before, but to fetch it when it is needed takes a millisecond or two.
AHEAD_S = 0.05
# Requests that may wait for a model that is fast, whose answers come before their number matters.
FAST_QUEUE = 2048
# How much the newest call weighs in what is usual. One that takes longer weighs little: on a busy machine any call may
# be interrupted, and that makes no model slow.
NEWEST, NEWEST_LONGER = 0.2, 0.05
# A thread that is free waits this part of its last call's time for as many requests as that one had, at most so long.
GATHER_PART = 0.1
GATHER_S = 0.03
# Greenlets whose clients have left meanwhile: what they have submitted is not computed any more.
abandoned: set[Any] = set()
# How long a thread computes requests one by one before it wakes the event loop, which costs as much as many a call.
TURN_S = 0.002
REMOVED = "the model has been removed meanwhile"


class Running:
    """What a thread does: the tickets of its present call, none while it waits, since when, and those that it has taken
    for the calls after it."""

    __slots__ = ("batch", "next", "since")

    def __init__(self) -> None:
        self.since = 0.0
        self.batch: list[PendingRequest] = []
        self.next: deque[PendingRequest] = deque()


class Engine:
    """Computes items in `threads` native threads, as many of them in a call as `batching` says.

    `compute` gets a list of items and returns as many outcomes; an outcome that is an exception is raised where
    its item was submitted. `prepare` runs first, in the thread that computes (frameworks bind their state to
    threads). One that does not answer within `timeout_s` is given up, its thread replaced, and `on_stuck` called.
    More than `queue_size` never wait for a model that is slow.
    """

    def __init__(
        self,
        compute: Callable[[list[Any]], list[Any]],
        *,
        batching: Callable[[], BatchPolicy] = BatchPolicy,
        threads: int = 1,
        timeout_s: float = 60.0,
        queue_size: int = FAST_QUEUE,
        prepare: Callable[[], None] = lambda: None,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self._compute = compute
        self._batching = batching
        self._threads = threads
        self._timeout_s = timeout_s
        self._queue_size = queue_size
        self._prepare = prepare
        self._on_stuck = on_stuck
        self.on_delivered: Callable[[], None] = lambda: None
        self.mean_call_seconds = 0.0
        """What a call has taken lately."""
        self.mean_seconds_per_request = 0.0
        """The same by the request."""
        self.load_finished = False
        """Whether the model has been loaded, or could not be."""
        self._arrived: list[PendingRequest] = []  # in this turn of the event loop
        self._line = RequestQueue()
        self._taking = threading.Lock()  # by one thread at a time, so that what comes together stays together
        self._call: SimpleQueue[None] = SimpleQueue()  # wakes a thread that waits for the line
        self._waiting: dict[PendingRequest, None] = {}  # in the order of their deadlines
        self._done: deque[tuple[int, list[PendingRequest]]] = (
            deque()
        )  # for each call its inputs, and who has ended with it
        self._running: dict[threading.Thread, Running] = {}
        self._hub = gevent.get_hub()
        self._wake = self._hub.loop.async_()
        self._wake.start(self._deliver)
        self._closed = False
        self._pid = os.getpid()
        self._alive: set[threading.Thread] = set()
        self._watching = False
        self._large = 0  # requests under way that come in slices
        self._start_thread(first=True)

    # --- in the event loop ------------------------------------------------------------------------

    def submit(self, item: Any, size: int = 1, cost: float = 0.0, waited_s: float = 0.0) -> Any:
        """Computes one item; the calling greenlet waits. `size` inputs are in it, of which the dearest costs `cost`;
        Slices say this for each of theirs. It has waited elsewhere for `waited_s`. Raises what the computation raised,
        or RequestError: 503 where too many wait, 504 after `timeout_s`."""
        if self._closed:
            raise RequestError(503, REMOVED)
        alone = isinstance(item, Step)  # of something that is under way: neither refused nor kept waiting for company
        if not alone and self.waiting >= self.queue_limit():
            raise RequestError(503, "too many requests wait for the model; try again", (("Retry-After", "1"),))
        ticket = PendingRequest(
            item, time.monotonic() + self._timeout_s - waited_s, size, cost, REQUEST_ID.get(), alone
        )
        self._waiting[ticket] = None
        if not self._watching:
            self._watching = True
            gevent.spawn(self._watch_deadlines)
        if not self._arrived:
            self._hub.loop.run_callback(self._enqueue)
        self._arrived.append(ticket)
        self._large += ticket.large
        try:
            outcome = ticket.waiter.get()
        finally:
            self._large -= ticket.large
        if ticket.computed_s:
            prometheus.stages["queue"].observe(ticket.finished - ticket.arrived - ticket.computed_s + waited_s)
            prometheus.stages["predict"].observe(ticket.computed_s)
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, BaseException):  # SystemExit would end the greenlet, and the client hear nothing
            raise RuntimeError(f"the model raised {outcome!r}") from outcome
        return outcome

    def _enqueue(self) -> None:
        """In the event loop: what has arrived in one turn of it, with one call. A thread that is woken for each
        request takes turns with the loop, and both spend their time on waking each other."""
        self._line.extend(self._arrived)
        self._arrived.clear()
        prometheus.waiting.set(len(self._line))
        self._call.put(None)

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return len(self._arrived) + len(self._line)

    @property
    def above_latency_threshold(self) -> bool:
        """Whether a call of this model usually takes long."""
        return self.mean_call_seconds > USUALLY_SLOW_S

    def queue_limit(self, workers: int = 1) -> int:
        """How many requests may wait, for so many workers. Of a slow model: no more than can be answered in time."""
        if not self.above_latency_threshold:
            return max(FAST_QUEUE, self._queue_size)
        return max(
            1, min(self._queue_size, int(workers * self._threads * self._timeout_s / self.mean_seconds_per_request))
        )

    @property
    def all_threads_busy(self) -> bool:
        """Whether every thread computes, for a while or something slow: a new request would better go to another
        worker."""
        now = time.monotonic()
        running = list(self._running.values())
        return bool(running) and all(
            one.batch and (self.above_latency_threshold or now - one.since > SLOW_S) for one in running
        )

    @property
    def has_enough_queued(self) -> bool:
        """Whether as much waits as the free threads of a slow model will take in a moment. A large request waits, or is
        about to, between its slices."""
        if self.above_latency_threshold and self._large >= self._threads:
            return True
        free = sum(not one.batch for one in list(self._running.values()))
        return self.above_latency_threshold and self.waiting >= free * self._batching().max_size

    def can_collect_next_batch(self, batches: int = 1) -> bool:
        """Whether there is room in the next `batches` of each thread, and the first will run as soon as usual."""
        size = self._batching().max_size
        if self.waiting >= size * self._threads * batches or (size == 1 and self.mean_call_seconds > AHEAD_S):
            return False
        now = time.monotonic()
        return any(now - one.since < 2 * self.mean_call_seconds + SLOW_S for one in list(self._running.values()))

    def close(self, within_s: float) -> bool:
        """Ends the threads after what they compute, and lets go of all that they held; nothing may be submitted any
        more, and who still waits is told so. False where one still computes after `within_s`."""
        self._closed = True
        deadline = time.monotonic() + within_s
        while self._alive and time.monotonic() < deadline:
            self._call.put(None)
            gevent.sleep(0.002)
        ended = not self._alive
        if ended:
            self._hub.loop.run_callback(self._end)
            gevent.sleep(0)
        return ended

    def _end(self) -> None:
        self._deliver()  # what has been finished in this instant
        self._wake.stop()
        self._wake.close()
        for ticket in list(self._waiting):
            self._withdraw(ticket, RequestError(503, REMOVED))

    def _deliver(self) -> None:
        """Hands each finished request to the greenlet that waits for it."""
        while self._done:
            inputs, finished = self._done.popleft()
            if inputs:
                prometheus.batch_inputs.observe(inputs)
            for ticket in finished:
                if self._waiting.pop(ticket, self) is None:
                    ticket.waiter.switch(ticket.outcome)
        prometheus.waiting.set(self.waiting)
        self.on_delivered()

    def _watch_deadlines(self) -> None:
        # Only while somebody waits: of many models' engines most are idle.
        while self._waiting or any(one.batch for one in list(self._running.values())):
            gevent.sleep(0.1)
            now = time.monotonic()
            for thread, running in list(self._running.items()):
                if running.batch and now - running.since > self._timeout_s:
                    self._give_up(thread)
            for ticket in [ticket for ticket in self._waiting if ticket.deadline <= now]:
                self._expire(ticket)
            for ticket in [ticket for ticket in self._waiting if ticket.waiter.greenlet in abandoned]:
                if not ticket.alone:  # a stream is told by its connection, and closed
                    self._withdraw(ticket, RequestError(499, "the client has left"))
        self._watching = False

    def _give_up(self, thread: threading.Thread) -> None:
        log.error("a prediction has not ended after %.0f s; giving its thread up", self._timeout_s)
        running = self._running.pop(thread)
        prometheus.computing.add_locked(-1)
        for ticket in running.batch:
            if ticket in self._waiting:
                self._expire(ticket)
        # Who has waited behind it is not to blame, and nginx is patient for some seconds more.
        for ticket in self._waiting:
            ticket.deadline += min(self._timeout_s, 5.0)
        self._line.put_back(emptied(running.next))
        self._start_thread()
        self._call.put(None)
        self._on_stuck()

    def _expire(self, ticket: PendingRequest) -> None:
        late = f"the model did not answer within {self._timeout_s:.0f} s; send less at once"
        self._withdraw(ticket, RequestError(504, late))

    def _withdraw(self, ticket: PendingRequest, error: RequestError) -> None:
        """In place of the model, which computes no more of it."""
        del self._waiting[ticket]
        self._hub.loop.run_callback(ticket.waiter.switch, error)

    # --- in the threads that compute --------------------------------------------------------------

    def _start_thread(self, first: bool = False) -> None:
        # daemon: a computation that hangs must not keep the worker from ending
        thread = threading.Thread(target=self._run_until_closed, args=(first,), name="compute", daemon=True)
        self._alive.add(thread)
        thread.start()

    def _run_until_closed(self, first: bool) -> None:
        try:
            self._run(first)
        finally:
            self._alive.discard(threading.current_thread())

    def _run(self, first: bool) -> None:
        if first:
            self._prepare()
            self.load_finished = True
            for _ in range(self._threads - 1):
                self._start_thread()
        me = threading.current_thread()
        running = self._running[me] = Running()
        last, took = 0, 0.0
        while me in self._running and not self._closed:  # not any more, once it has been given up
            batch = self._take(last, took)
            if batch:
                prometheus.computing.add_locked(1)
                last, took = self._compute_turn(me, running, batch)
                if me in self._running:
                    prometheus.computing.add_locked(-1)

    def _compute_turn(self, me: threading.Thread, running: Running, taken: list[PendingRequest]) -> tuple[int, float]:
        """Computes what has been taken: in one call or, of a model that gets one request a call, in as many. The number
        of requests in the last call, and the seconds that it took."""
        if self._batching().max_per_turn == 1:
            return self._compute_batch(me, running, taken)
        size, took, until = 1, 0.0, time.monotonic() + TURN_S
        running.next.extend(taken)
        while me in self._running:
            try:
                ticket = running.next.popleft()
            except IndexError:  # done, or given up meanwhile
                break
            size, took = self._compute_batch(me, running, [ticket], wake=not running.next)
            if running.next and time.monotonic() > until:  # not as quick as usual: another thread may have the others
                self._line.put_back(emptied(running.next))
                self._call.put(None)
                self._wake.send()
        return size, took

    def _take(self, last: int, took: float) -> list[PendingRequest]:
        """The next batch; blocks until there is one. Who has given up waiting is left out. The last one had `last`
        requests, and took `took` seconds."""
        self._call.get()
        if took > SLOW_S:
            self._gather(last, min(GATHER_PART * took, GATHER_S))
        batching = self._present_batching()
        with self._taking:
            while batching.max_delay_s and (left := self._line.ready_at(batching) - time.monotonic()) > 0:
                if left > batching.max_delay_s or self._closed:  # nobody waits: another thread was quicker
                    return []
                try:
                    self._call.get(timeout=left)
                except Empty:
                    break
            batch = self._line.take(batching)
            if len(self._line):
                self._call.put(None)  # for the next thread, or for this one again
        return [ticket for ticket in batch if ticket in self._waiting]

    def _present_batching(self) -> BatchPolicy:
        """Of a model that gets one request a call: as many as it computes in a turn, where it is quick."""
        batching = self._batching()
        if batching.max_per_turn > 1 and 0 < self.mean_call_seconds < TURN_S / 2:
            return BatchPolicy(min(batching.max_per_turn, int(TURN_S / self.mean_call_seconds)))
        return batching

    def _gather(self, wanted: int, patience_s: float) -> None:
        """Waits until `wanted` requests are there, or its patience is at an end."""
        deadline = time.monotonic() + patience_s
        with suppress(Empty):
            while len(self._line) < wanted:
                self._call.get(timeout=max(0.0, deadline - time.monotonic()))

    def _compute_batch(
        self, me: threading.Thread, running: Running, batch: list[PendingRequest], wake: bool = True
    ) -> tuple[int, float]:
        """One call. The number of requests in it, and the seconds that it took."""
        running.since = began = time.monotonic()
        running.batch = batch
        outcomes = self._outcomes(batch)
        if os.getpid() != self._pid:
            os._exit(0)  # a copy that the model's code has made by os.fork(); its clients are not ours
        now = time.monotonic()
        running.batch = []  # idle again, before anybody is told
        took = now - began
        if me in self._running:
            self._note(took, len(batch))
        finished, inputs = [], 0
        for ticket, outcome in zip(batch, outcomes, strict=True):
            inputs += 0 if ticket.alone else ticket.size
            ticket.computed_s += took
            ticket.finished = now
            if not ticket.advance(outcome):
                finished.append(ticket)
            elif ticket in self._waiting:
                self._line.extend([ticket])
                self._call.put(None)
        self._done.append((inputs, finished))
        if wake:
            self._wake.send()
        return len(batch), took

    def _outcomes(self, batch: list[PendingRequest]) -> list[Any]:
        ids = [ticket.request_id for ticket in batch if ticket.request_id]
        REQUEST_ID.set(" ".join(ids))
        try:
            return self._compute([ticket.item for ticket in batch])
        except BaseException as error:  # whatever it is, SystemExit too, a client waits for an answer
            return [error] if len(batch) == 1 else [_own(error) for _ in batch]

    def _note(self, took: float, requests: int) -> None:
        """What is usual, with this call."""
        share_s = took / requests
        if not self.mean_call_seconds:
            self.mean_seconds_per_request, self.mean_call_seconds = share_s, took
        self.mean_seconds_per_request += NEWEST * (share_s - self.mean_seconds_per_request)
        self.mean_call_seconds += (NEWEST_LONGER if took > self.mean_call_seconds else NEWEST) * (
            took - self.mean_call_seconds
        )


def emptied(tickets: deque[PendingRequest]) -> list[PendingRequest]:
    """All of them, each taken once, whoever else takes some at the same time."""
    found = []
    with suppress(IndexError):
        while True:
            found.append(tickets.popleft())
    return found


def _own(error: BaseException) -> Exception:
    """An exception for one of several requests that one call failed for: raised in each, `error` itself would collect
    the tracebacks of all."""
    own = RuntimeError(f"the model raised {error!r}")
    own.__cause__ = error
    return own
