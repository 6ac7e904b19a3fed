"""gunicorn's master, which replaces workers one by one: a new one first, and when it has its model the old one goes.

So SIGHUP (a new model, new code) costs no request, and no more memory than one model more. gunicorn itself would
end the old workers at once and leave nobody while the new ones load.

No worker ends the master either, whatever its exit status. gunicorn reads 3 and 4 as "failed to boot" and shuts
everything down, but a model can choose any status, at any time. Here a worker that could not even be set up says so in
its row of the metrics, and that ends the server only while none has ever been ready.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from gunicorn.arbiter import Arbiter as GunicornArbiter
from gunicorn.errors import HaltServer

from byo_container.container.log import log
from byo_container.serving.metrics.worker_state import WorkerState, any_worker_was_ready

# The pause before a worker is started again whose predecessor ended before it was ready: doubled each time.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0


class Backoff:
    """Whether workers may be started. After one that never got ready there is a pause, longer each time."""

    def __init__(self) -> None:
        self._until = 0.0
        self._pause_s = FIRST_PAUSE_S

    def left_s(self, now: float) -> float:
        """The seconds until the next one may be started."""
        return max(0.0, self._until - now)

    def failed(self, now: float) -> None:
        """A worker has ended before it was ready. Several that end together make one pause."""
        if not self.left_s(now):
            self._until = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def reset(self) -> None:
        """A worker that was ready has ended: it is replaced at once."""
        self._until, self._pause_s = 0.0, FIRST_PAUSE_S


class Arbiter(GunicornArbiter):  # type: ignore[misc]
    """Rolls, a step at each turn of gunicorn's main loop."""

    # Statuses that no process can end with: gunicorn halts for none.
    WORKER_BOOT_ERROR = APP_LOAD_ERROR = -1

    def __init__(self, app: object, load_timeout_s: float) -> None:
        self.outgoing_pid = 0
        """The worker from which the one that is forked now is to take over; 0 for none."""
        self._load_timeout_s = load_timeout_s
        self._backoff = Backoff()
        self._refused = ""  # why the incoming worker has ended, where that is known
        self._outgoing: list[int] = []  # to be replaced, the first one now
        self._incoming = 0  # the worker that is to take over from it
        self._since = 0.0
        super().__init__(app)

    def reload(self) -> None:
        """SIGHUP. A second one during a roll starts over with those that are there then."""
        by_age = sorted(self.WORKERS.items(), key=lambda item: item[1].age)
        self._outgoing = self._outgoing[:1] if self._incoming else []
        self._outgoing += [pid for pid, _ in by_age if pid not in (*self._outgoing, self._incoming)]
        if self._incoming:  # it may have read the old model
            self._outgoing.append(self._incoming)
        log.info("replacing %d workers, one by one", len(self._outgoing))

    def worker_ended(self, worker: Any) -> None:
        """gunicorn has reaped a worker. Raises HaltServer for one that could not be set up, where none ever was."""
        state = worker.row.state
        if state in (WorkerState.READY, WorkerState.LEAVING):
            self._backoff.reset()
        elif not worker.rolling:
            self._backoff.failed(time.monotonic())
        elif state == WorkerState.FAILED:
            self._refused = "its model cannot be loaded"
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
        self._add_those_who_ask()
        if self._incoming:
            self._wait_for_the_new_one()
        elif self._outgoing:
            self._begin()
        super().manage_workers()

    def _add_those_who_ask(self) -> None:
        """A worker with a thread that hangs goes on with another thread, until it is replaced."""
        for pid, worker in self.WORKERS.items():
            if worker.row.wants_replacement:
                worker.row.wants_replacement = False
                if pid not in self._outgoing:
                    self._outgoing.append(pid)

    def _begin(self) -> None:
        if self._outgoing[0] not in self.WORKERS:  # it died, and has been replaced
            del self._outgoing[0]
            return
        self.num_workers += 1
        self.outgoing_pid = self._outgoing[0]
        self._refused = ""
        self._since = time.monotonic()
        try:
            self._incoming = self.spawn_worker()
        except OSError as error:
            self._over(f"it cannot be started: {error}")
        finally:
            self.outgoing_pid = 0

    def _wait_for_the_new_one(self) -> None:
        worker, old = self.WORKERS.get(self._incoming), self._outgoing[0]
        now = worker.row.state if worker else WorkerState.ABSENT
        if worker is None:
            self._over(self._refused or "it ended before it was ready")
        elif now == WorkerState.LOADING and time.monotonic() - self._since > self._load_timeout_s:
            self._refused = f"its model was not loaded within {self._load_timeout_s:.0f} s"
            self.kill_worker(self._incoming, signal.SIGKILL)
        elif now == WorkerState.READY and old in self.WORKERS:
            if self.WORKERS[old].row.state != WorkerState.LEAVING:
                self.WORKERS[old].row.state = WorkerState.LEAVING
                self.kill_worker(old, signal.SIGTERM)
        elif now == WorkerState.READY:
            self._over()

    def _over(self, failure: str = "") -> None:
        self.num_workers -= 1
        self._incoming = 0
        del self._outgoing[0]
        if failure:
            log.error("the new worker cannot take over (%s); the %d old ones go on", failure, len(self._outgoing) + 1)
            self._outgoing.clear()
        elif not self._outgoing:
            log.info("all workers are replaced")
