"""gunicorn's master, which replaces workers one by one: a new one first, and when it has its model the old one goes.

So SIGHUP (a new model, new code) costs no request, and no more memory than one model more. gunicorn itself would
end the old workers at once and leave nobody while the new ones load.
"""

from __future__ import annotations

import signal
import time

from gunicorn.arbiter import Arbiter as GunicornArbiter

from container.log import log
from serving import metrics


class Arbiter(GunicornArbiter):  # type: ignore[misc]
    """Rolls, a step at each turn of gunicorn's main loop."""

    def __init__(self, app: object) -> None:
        self.rolling = False
        """Whether the worker that is forked now is to take over from another one."""
        self.load_timeout_s = 600.0
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
            row = worker.row
            if metrics.replace_me.of(row):
                row[metrics.replace_me.column] = 0.0
                if pid not in self._outgoing:
                    self._outgoing.append(pid)

    def _begin(self) -> None:
        if self._outgoing[0] not in self.WORKERS:  # it died, and has been replaced
            del self._outgoing[0]
            return
        self.num_workers += 1
        self.rolling = True
        self._incoming = self.spawn_worker()
        self.rolling = False
        self._since = time.monotonic()

    def _wait_for_the_new_one(self) -> None:
        worker, old = self.WORKERS.get(self._incoming), self._outgoing[0]
        now = metrics.state.of(worker.row) if worker else metrics.ABSENT
        if worker is None:
            self._over("it died")
        elif now == metrics.FAILED or (now == metrics.LOADING and time.monotonic() - self._since > self.load_timeout_s):
            self.kill_worker(self._incoming, signal.SIGKILL)  # and the next turn finds it dead
        elif now == metrics.READY and old in self.WORKERS:
            if metrics.state.of(self.WORKERS[old].row) != metrics.LEAVING:
                self.WORKERS[old].row[metrics.state.column] = metrics.LEAVING
                self.kill_worker(old, signal.SIGTERM)
        elif now == metrics.READY:
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
