"""gunicorn's arbiter with a rolling restart: a new worker is started, and when its model is ready the old one ends.

So SIGHUP (a new model, new code) loses no request, and takes the memory of one more model only. gunicorn itself would
end the old workers at once, and nobody would answer while the new ones load.

No exit status of a worker ends the arbiter. gunicorn reads 3 and 4 as "failed to boot" and shuts down, but a model can
exit with any status, at any time. A worker that could not even begin to load enters the state BROKEN in the shared
table, which ends the server only if no worker has ever been ready.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from gunicorn.arbiter import Arbiter as GunicornArbiter
from gunicorn.errors import HaltServer

from byo_container.container.log import log
from byo_container.serving.metrics.worker_state import WorkerState, any_worker_was_ready

# The pause before the next worker is started when one has ended before it was ready. Doubled each time.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0


class Backoff:
    """When the next worker may be started: at once, or after a pause if workers end before they are ready."""

    def __init__(self) -> None:
        self._until = 0.0
        self._pause_s = FIRST_PAUSE_S

    def left_s(self, now: float) -> float:
        """Seconds until the next worker may be started."""
        return max(0.0, self._until - now)

    def failed(self, now: float) -> None:
        """A worker has ended before it was ready. Workers that end during a pause do not extend it."""
        if not self.left_s(now):
            self._until = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def reset(self) -> None:
        """A worker that was ready has ended: the next one is started at once."""
        self._until, self._pause_s = 0.0, FIRST_PAUSE_S


class Arbiter(GunicornArbiter):  # type: ignore[misc]
    """Takes a step of the rolling restart at each turn of gunicorn's main loop."""

    # No process can exit with this status, so gunicorn never halts because of one.
    WORKER_BOOT_ERROR = APP_LOAD_ERROR = -1

    def __init__(self, app: object, load_timeout_s: float) -> None:
        self.outgoing_pid = 0
        """While a worker is forked: the pid of the worker that it is to replace; 0 for none."""
        self._load_timeout_s = load_timeout_s
        self._backoff = Backoff()
        self._outgoing: list[int] = []  # pids of the workers to be replaced, the next one first
        self._incoming = 0  # the pid of the worker that is to replace the first of them; 0 for none
        self._incoming_since = 0.0
        self._failure = ""  # why the incoming worker has ended, if that is known
        super().__init__(app)

    def reload(self) -> None:
        """On SIGHUP. During a rolling restart it starts over with the workers that are there."""
        by_age = sorted(self.WORKERS.items(), key=lambda item: item[1].age)
        self._outgoing = self._outgoing[:1] if self._incoming else []
        self._outgoing += [pid for pid, _ in by_age if pid not in (*self._outgoing, self._incoming)]
        if self._incoming:  # it may have loaded the old model
            self._outgoing.append(self._incoming)
        log.info("replacing %d workers, one by one", len(self._outgoing))

    def worker_ended(self, worker: Any) -> None:
        """gunicorn has reaped a worker. Raises HaltServer if it was BROKEN and no worker has ever been ready."""
        state = worker.row.state
        if state in (WorkerState.READY, WorkerState.LEAVING):
            self._backoff.reset()
        elif not worker.rolling:
            self._backoff.failed(time.monotonic())
        elif state == WorkerState.FAILED:
            self._failure = "its model cannot be loaded"
        if state == WorkerState.BROKEN and not any_worker_was_ready():
            raise HaltServer("a worker could not be set up; its traceback is above", 3)

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        missing = len(self.WORKERS) < self.num_workers
        pause_s = self._backoff.left_s(time.monotonic()) if missing else timeout
        signals: list[int] = super().wait_for_signals(min(timeout, pause_s))
        return signals

    def spawn_workers(self) -> None:
        if not self._backoff.left_s(time.monotonic()):
            try:
                super().spawn_workers()
            except OSError as error:  # no more processes or files, or no memory, for now
                self._backoff.failed(time.monotonic())
                log.error("a worker cannot be started: %s; trying again", error)

    def manage_workers(self) -> None:
        self._add_hanging_workers()
        if self._incoming:
            self._await_incoming()
        elif self._outgoing:
            self._start_incoming()
        super().manage_workers()

    def _add_hanging_workers(self) -> None:
        """A worker with a thread that hangs goes on with another thread, and is replaced when its turn comes."""
        for pid, worker in self.WORKERS.items():
            if worker.row.wants_replacement:
                worker.row.wants_replacement = False
                if pid not in self._outgoing:
                    self._outgoing.append(pid)

    def _start_incoming(self) -> None:
        if self._outgoing[0] not in self.WORKERS:  # it has ended by itself, and was replaced
            del self._outgoing[0]
            return
        self.num_workers += 1
        self.outgoing_pid = self._outgoing[0]
        self._failure = ""
        self._incoming_since = time.monotonic()
        try:
            self._incoming = self.spawn_worker()
        except OSError as error:
            self._end_step(f"it cannot be started: {error}")
        finally:
            self.outgoing_pid = 0

    def _await_incoming(self) -> None:
        worker, old = self.WORKERS.get(self._incoming), self._outgoing[0]
        now = worker.row.state if worker else WorkerState.ABSENT
        if worker is None:
            self._end_step(self._failure or "it ended before it was ready")
        elif now == WorkerState.LOADING and time.monotonic() - self._incoming_since > self._load_timeout_s:
            self._failure = f"its model was not loaded within {self._load_timeout_s:.0f} s"
            self.kill_worker(self._incoming, signal.SIGKILL)
        elif now == WorkerState.READY and old in self.WORKERS:
            if self.WORKERS[old].row.state != WorkerState.LEAVING:
                self.WORKERS[old].row.state = WorkerState.LEAVING
                self.kill_worker(old, signal.SIGTERM)
        elif now == WorkerState.READY:
            self._end_step()

    def _end_step(self, failure: str = "") -> None:
        self.num_workers -= 1
        self._incoming = 0
        del self._outgoing[0]
        if failure:
            log.error("the new worker cannot take over (%s); the %d old ones go on", failure, len(self._outgoing) + 1)
            self._outgoing.clear()
        elif not self._outgoing:
            log.info("all workers are replaced")
