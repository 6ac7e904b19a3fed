"""Requests that wait together run together, in native threads beside the event loop.

A worker's event loop only speaks HTTP. The model computes in threads of the operating system, so /ping is answered
while a prediction takes its time. A thread that becomes free takes all that has queued up: an idle server adds no
delay, a busy one makes batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent

from byo_container.container.handler import InputError
from byo_container.container.log import REQUEST_ID, log
from byo_container.serving.engine.model import Model
from byo_container.serving.engine.queue import PendingRequest, RequestQueue
from byo_container.serving.engine.threads import SLOW_CALL_S, ComputeThread, ComputeThreads
from byo_container.serving.engine.work import Work
from byo_container.serving.errors import RequestError
from byo_container.serving.metrics import prometheus

# A worker of a model that takes one request a call collects the next one only where calls take less, in seconds:
# another worker may become free before, but fetching a request when it is needed takes a millisecond or two.
COLLECT_AHEAD_S = 0.05
# Requests that may wait for a fast model, whose answers come before their number matters.
FAST_QUEUE = 2048
# Greenlets whose clients have disconnected: what they submitted is not computed any more.
abandoned: set[Any] = set()
REMOVED = "the model has been removed meanwhile"


def do_nothing() -> None:
    """The callback until one is set."""


class Engine:
    """Computes work in `threads` native threads, batched by the model's policy.

    A thread whose computation takes longer than `timeout_s` is given up and replaced, and its requests fail. At most
    `queue_size` requests wait for a model that is above the latency threshold."""

    def __init__(
        self, model: Model, *, threads: int = 1, timeout_s: float = 60.0, queue_size: int = FAST_QUEUE
    ) -> None:
        self.on_delivered: Callable[[], None] = do_nothing
        """Called in the event loop after answers were handed out."""
        self._model = model
        self._thread_count = threads
        self._timeout_s = timeout_s
        self._queue_size = queue_size
        self._arrived: list[PendingRequest] = []  # in this turn of the event loop
        self._queue = RequestQueue()
        self._waiting: dict[PendingRequest, None] = {}  # in the order of their deadlines
        self._large = 0  # requests under way that are computed in sub-batches
        self._watching = False
        self._hub = gevent.get_hub()
        self._wake = self._hub.loop.async_()
        self._wake.start(self._deliver)
        self._threads = ComputeThreads(model, self._queue, threads, self._wake.send)

    def submit(self, work: Work, waited_s: float = 0.0) -> Any:
        """Computes one request's work while the calling greenlet waits, and returns its outcome. The request has waited
        for `waited_s` before. Raises what the computation raised, or RequestError: 400 for an InputError, 503 where too
        many wait, 504 after `timeout_s`."""
        if self._threads.closing:
            raise RequestError(503, REMOVED)
        if not work.runs_alone and self.waiting >= self.queue_limit():
            raise RequestError(503, "too many requests wait for the model; try again", (("Retry-After", "1"),))
        request = PendingRequest(work, time.monotonic() + self._timeout_s - waited_s, REQUEST_ID.get())
        self._waiting[request] = None
        if not self._watching:
            self._watching = True
            gevent.spawn(self._watch_deadlines)
        if not self._arrived:
            self._hub.loop.run_callback(self._enqueue)
        self._arrived.append(request)
        self._large += request.large
        try:
            outcome = request.waiter.get()
        finally:
            self._large -= request.large
        if request.computed_s:
            prometheus.stages["queue"].observe(request.finished - request.arrived - request.computed_s + waited_s)
            prometheus.stages["predict"].observe(request.computed_s)
        if isinstance(outcome, BaseException):
            _raise_in_request(outcome)
        return outcome

    def _enqueue(self) -> None:
        """Queues what arrived in one turn of the event loop, and wakes one thread. A thread that is woken for each
        request takes turns with the loop, and both spend their time on waking each other."""
        self._queue.extend(self._arrived)
        self._arrived.clear()
        prometheus.waiting.set(len(self._queue))
        self._threads.wake_one()

    # --- what a worker's listener asks before it accepts a connection -----------------------------

    @property
    def load_finished(self) -> bool:
        """Whether the model was loaded, or could not be."""
        return self._threads.load_finished

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return len(self._arrived) + len(self._queue)

    @property
    def above_latency_threshold(self) -> bool:
        """Whether a call of the model takes long on average."""
        return self._threads.times.above_latency_threshold

    def queue_limit(self, workers: int = 1) -> int:
        """How many requests may wait for `workers` workers; for a slow model no more than can be answered in time."""
        if not self.above_latency_threshold:
            return max(FAST_QUEUE, self._queue_size)
        seconds = workers * self._thread_count * self._timeout_s
        return max(1, min(self._queue_size, int(seconds / self._threads.times.mean_seconds_per_request)))

    @property
    def all_threads_busy(self) -> bool:
        """Whether every thread computes something slow: a new request would better go to another worker."""
        now, slow, threads = time.monotonic(), self.above_latency_threshold, list(self._threads.active)
        return bool(threads) and all(one.batch and (slow or now - one.started > SLOW_CALL_S) for one in threads)

    @property
    def has_enough_queued(self) -> bool:
        """Whether the queue already holds a full batch for every free thread (slow models only)."""
        if not self.above_latency_threshold:
            return False
        if self._large >= self._thread_count:  # each waits, or is about to, between two sub-batches
            return True
        free = sum(not thread.batch for thread in list(self._threads.active))
        return self.waiting >= free * self._model.batch_policy.max_size

    def can_collect_next_batch(self, batches: int = 1) -> bool:
        """Whether the next `batches` of each thread have room, and the first of them will run soon."""
        size, mean_s = self._model.batch_policy.max_size, self._threads.times.mean_call_seconds
        if self.waiting >= size * self._thread_count * batches or (size == 1 and mean_s > COLLECT_AHEAD_S):
            return False
        now = time.monotonic()
        return any(now - thread.started < 2 * mean_s + SLOW_CALL_S for thread in list(self._threads.active))

    # --- the end ----------------------------------------------------------------------------------

    def close(self, within_s: float) -> bool:
        """Ends the threads after their present calls and releases all that they hold. From now on `submit` raises
        RequestError 503, also for those that still wait. Returns False where a thread still computes after
        `within_s`."""
        self._threads.closing = True
        deadline = time.monotonic() + within_s
        while self._threads.running and time.monotonic() < deadline:
            self._threads.wake_one()
            gevent.sleep(0.002)
        ended = not self._threads.running
        if ended:
            self._hub.loop.run_callback(self._end)
            gevent.sleep(0)
        return ended

    def _end(self) -> None:
        self._deliver()  # what has finished in this instant
        self._wake.stop()
        self._wake.close()
        for request in list(self._waiting):
            self._withdraw(request, RequestError(503, REMOVED))

    # --- answers and deadlines --------------------------------------------------------------------

    def _deliver(self) -> None:
        """Hands each outcome to the greenlet that waits for it."""
        finished = self._threads.finished
        while finished:
            inputs, requests = finished.popleft()
            if inputs:
                prometheus.batch_inputs.observe(inputs)
            for request in requests:
                if not request.withdrawn:
                    del self._waiting[request]
                    request.waiter.switch(request.outcome)
        prometheus.waiting.set(self.waiting)
        self.on_delivered()

    def _watch_deadlines(self) -> None:
        # Only while a request waits: in multi-model mode most engines are idle.
        while self._waiting or any(thread.batch for thread in list(self._threads.active)):
            gevent.sleep(0.1)
            now = time.monotonic()
            for thread in list(self._threads.active):
                if thread.batch and now - thread.started > self._timeout_s:
                    self._give_up(thread)
            for request in [request for request in self._waiting if request.deadline <= now]:
                self._expire(request)
            for request in [request for request in self._waiting if request.waiter.greenlet in abandoned]:
                if not request.runs_alone:  # a stream learns it from its connection, and closes
                    self._withdraw(request, RequestError(499, "the client has left"))
        self._watching = False

    def _give_up(self, thread: ComputeThread) -> None:
        log.error("a prediction has not ended after %.0f s; giving its thread up", self._timeout_s)
        batch = thread.batch
        self._threads.replace(thread)
        for request in batch:
            if not request.withdrawn:
                self._expire(request)
        # Requests that waited behind it are not to blame, and nginx is patient for some seconds more.
        for request in self._waiting:
            request.deadline += min(self._timeout_s, 5.0)
        self._model.on_stuck()

    def _expire(self, request: PendingRequest) -> None:
        late = f"the model did not answer within {self._timeout_s:.0f} s; send less at once"
        self._withdraw(request, RequestError(504, late))

    def _withdraw(self, request: PendingRequest, error: RequestError) -> None:
        """Answers a request in place of the model, which computes nothing more of it."""
        request.withdrawn = True
        del self._waiting[request]
        self._hub.loop.run_callback(request.waiter.switch, error)


def _raise_in_request(error: BaseException) -> None:
    if isinstance(error, InputError):
        raise RequestError(400, str(error)) from error
    if isinstance(error, Exception):
        raise error
    # SystemExit would end the greenlet, and the client would get no answer.
    raise RuntimeError(f"the model raised {error!r}") from error
