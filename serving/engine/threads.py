"""The threads that compute. Each takes a batch from the queue, has the model compute it, and takes the next one.

Clients that were answered together mostly ask again together. So after a slow call a thread waits for as many requests
as that call had, for a small part of the time that it took.
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

from byo_container.container.log import REQUEST_ID
from byo_container.serving.engine.model import Model
from byo_container.serving.engine.queue import BatchPolicy, PendingRequest, RequestQueue
from byo_container.serving.metrics import prometheus

# A call that takes longer is slow, in seconds: requests are not queued up behind it.
SLOW_CALL_S = 0.02
# A model whose calls take longer on average is above the latency threshold: each of its calls counts as slow from its
# beginning.
LATENCY_THRESHOLD_S = 0.005
# The weight of the newest call in the averages. One that took longer than the average weighs less: on a busy machine
# any call may be interrupted, and that makes no model slow.
NEWEST_WEIGHT, NEWEST_LONGER_WEIGHT = 0.2, 0.05
# A free thread waits for this part of its last call's time for as many requests as that call had, at most so long.
GATHER_PART = 0.1
GATHER_S = 0.03
# How long a thread computes requests one by one before it wakes the event loop, which costs as much as many a call.
TURN_S = 0.002


class CallTimes:
    """Moving averages of the time that the model's calls take."""

    def __init__(self) -> None:
        self.mean_call_seconds = 0.0
        self.mean_seconds_per_request = 0.0
        """The time of a call divided by the requests in it."""

    @property
    def above_latency_threshold(self) -> bool:
        return self.mean_call_seconds > LATENCY_THRESHOLD_S

    def add(self, seconds: float, requests: int) -> None:
        per_request = seconds / requests
        if not self.mean_call_seconds:
            self.mean_call_seconds, self.mean_seconds_per_request = seconds, per_request
        weight = NEWEST_LONGER_WEIGHT if seconds > self.mean_call_seconds else NEWEST_WEIGHT
        self.mean_call_seconds += weight * (seconds - self.mean_call_seconds)
        self.mean_seconds_per_request += NEWEST_WEIGHT * (per_request - self.mean_seconds_per_request)


class ComputeThreads:
    """`count` threads that compute what is in `queue`. The first one loads the model, then the others start.

    Requests that are done are in `finished`; `on_finished` is called in a compute thread after some were added."""

    def __init__(self, model: Model, queue: RequestQueue, count: int, on_finished: Callable[[], None]) -> None:
        self.model = model
        self.queue = queue
        self.on_finished = on_finished
        self.times = CallTimes()
        self.load_finished = False
        """Whether the model was loaded, or could not be."""
        self.finished: deque[tuple[int, list[PendingRequest]]] = deque()
        """For each call the number of its inputs, and the requests that ended with it."""
        self.active: list[ComputeThread] = []
        """Those that compute or wait for requests: not before the model is loaded, nor after they were given up."""
        self.running: set[ComputeThread] = set()
        """Those that have not ended, given up or not."""
        self.closing = False
        self._count = count
        self._taking = threading.Lock()  # one thread at a time, so that requests that come together stay together
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._start_one(loads=True)

    def wake_one(self) -> None:
        """One thread that waits looks into the queue."""
        self._wakeups.put(None)

    def replace(self, thread: ComputeThread) -> None:
        """Gives up a thread whose computation does not end, and starts another one."""
        thread.given_up = True
        self.active.remove(thread)
        prometheus.computing.add_locked(-1)
        self.queue.put_back(drain(thread.reserved))
        self._start_one()
        self.wake_one()

    def load(self) -> None:
        """In the first thread."""
        self.model.load()
        self.load_finished = True
        for _ in range(self._count - 1):
            self._start_one()

    def take(self, last_size: int, last_s: float) -> list[PendingRequest]:
        """The next batch; blocks until there is one. Empty where another thread was quicker. The thread's last call had
        `last_size` requests and took `last_s` seconds."""
        self._wakeups.get()
        if last_s > SLOW_CALL_S:
            self._gather(last_size, min(GATHER_PART * last_s, GATHER_S))
        policy = self._present_policy()
        with self._taking:
            while policy.max_delay_s and (left := self.queue.ready_at(policy) - time.monotonic()) > 0:
                if left > policy.max_delay_s or self.closing:  # the queue is empty
                    return []
                try:
                    self._wakeups.get(timeout=left)
                except Empty:
                    break
            batch = self.queue.take(policy)
            if len(self.queue):
                self.wake_one()  # the next thread, or this one again
        return [request for request in batch if not request.withdrawn]

    def outcomes(self, batch: list[PendingRequest]) -> list[Any]:
        """What the model makes of a batch: an outcome for each request, an exception for one that fails."""
        REQUEST_ID.set(" ".join([request.request_id for request in batch if request.request_id]))
        try:
            with self.model.context():
                if batch[0].runs_alone:
                    return [batch[0].item()]
                return self.model.compute([request.item for request in batch])
        except BaseException as error:  # whatever it is, SystemExit too: a client waits for an answer
            return [error] if len(batch) == 1 else [_copy_of(error) for _ in batch]

    def _start_one(self, loads: bool = False) -> None:
        thread = ComputeThread(self, loads)
        self.running.add(thread)
        thread.start()

    def _present_policy(self) -> BatchPolicy:
        """The model's policy; where it computes one request a call and is quick, as many as it computes in a turn."""
        policy, mean_s = self.model.batch_policy, self.times.mean_call_seconds
        if policy.max_per_turn > 1 and 0 < mean_s < TURN_S / 2:
            return BatchPolicy(min(policy.max_per_turn, int(TURN_S / mean_s)))
        return policy

    def _gather(self, wanted: int, patience_s: float) -> None:
        """Waits until `wanted` requests are queued, at most `patience_s`."""
        deadline = time.monotonic() + patience_s
        with suppress(Empty):
            while len(self.queue) < wanted:
                self._wakeups.get(timeout=max(0.0, deadline - time.monotonic()))


class ComputeThread(threading.Thread):
    """One of the threads, and what it does at the moment."""

    def __init__(self, pool: ComputeThreads, loads: bool) -> None:
        # daemon: a computation that hangs must not keep the worker from ending
        super().__init__(name="compute", daemon=True)
        self.batch: list[PendingRequest] = []
        """The requests of the present call; empty while the thread waits."""
        self.started = 0.0
        """When the present call began, by the monotonic clock."""
        self.reserved: deque[PendingRequest] = deque()
        """Requests that were taken for the calls after the present one."""
        self.given_up = False
        """Whether its computation did not end in time. Another thread has its place; it ends after its call."""
        self._pool = pool
        self._loads = loads
        self._pid = os.getpid()

    def run(self) -> None:
        pool = self._pool
        try:
            if self._loads:
                pool.load()
            pool.active.append(self)
            size, seconds = 0, 0.0
            while not (self.given_up or pool.closing):
                if batch := pool.take(size, seconds):
                    prometheus.computing.add_locked(1)
                    size, seconds = self._compute_turn(batch)
                    if not self.given_up:
                        prometheus.computing.add_locked(-1)
        finally:
            pool.running.discard(self)

    def _compute_turn(self, taken: list[PendingRequest]) -> tuple[int, float]:
        """Computes what was taken: in one call, or in as many as there are requests for a model that gets one request a
        call. Returns the number of requests in the last call, and the seconds that it took."""
        pool = self._pool
        if pool.model.batch_policy.max_per_turn == 1:
            return self._compute_batch(taken)
        size, seconds, until = 1, 0.0, time.monotonic() + TURN_S
        self.reserved.extend(taken)
        while not self.given_up:
            try:
                request = self.reserved.popleft()
            except IndexError:  # done, or given up meanwhile
                break
            size, seconds = self._compute_batch([request], wake_loop=not self.reserved)
            if self.reserved and time.monotonic() > until:  # slower than usual: another thread may have the others
                pool.queue.put_back(drain(self.reserved))
                pool.wake_one()
                pool.on_finished()
        return size, seconds

    def _compute_batch(self, batch: list[PendingRequest], wake_loop: bool = True) -> tuple[int, float]:
        """One call. Returns the number of requests in it, and the seconds that it took."""
        pool = self._pool
        self.started = began = time.monotonic()
        self.batch = batch
        outcomes = pool.outcomes(batch)
        if os.getpid() != self._pid:
            os._exit(0)  # a copy that the model's code has made by os.fork(); its clients are not ours
        now = time.monotonic()
        self.batch = []  # idle again before any greenlet is woken
        seconds = now - began
        if not self.given_up:
            pool.times.add(seconds, len(batch))
        finished, inputs = [], 0
        for request, outcome in zip(batch, outcomes, strict=True):
            inputs += 0 if request.runs_alone else request.size
            request.computed_s += seconds
            request.finished = now
            if not request.advance(outcome):
                finished.append(request)
            elif not request.withdrawn:
                pool.queue.extend([request])
                pool.wake_one()
        pool.finished.append((inputs, finished))
        if wake_loop:
            pool.on_finished()
        return len(batch), seconds


def drain(requests: deque[PendingRequest]) -> list[PendingRequest]:
    """Removes all, each once, also while another thread removes some."""
    drained = []
    with suppress(IndexError):
        while True:
            drained.append(requests.popleft())
    return drained


def _copy_of(error: BaseException) -> Exception:
    """An exception for one of several requests of a call that failed: `error` itself, raised in each of them, would
    collect the tracebacks of all."""
    copy = RuntimeError(f"the model raised {error!r}")
    copy.__cause__ = error
    return copy
