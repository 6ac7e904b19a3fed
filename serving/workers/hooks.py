"""What happens around the start and the end of each worker: gunicorn's server hooks.

https://gunicorn.org/reference/settings/#server-hooks
"""

from __future__ import annotations

import itertools
import os
import sys
import threading

import gevent

from byo_container.container.log import configure
from byo_container.serving import devices
from byo_container.serving.metrics import prometheus, worker_state
from byo_container.serving.metrics.shared_table import ARBITER, FIRST_WORKER
from byo_container.serving.metrics.worker_state import WorkerRow, WorkerState
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import Settings
from byo_container.serving.workers.arbiter import Arbiter
from byo_container.serving.workers.worker import Worker

# Seconds that a worker whose requests have ended may take to exit.
EXIT_S = 2.0


class Hooks:
    """The hooks of one run. `server` is always the arbiter, also in a worker."""

    def __init__(self, run: RunFolder, settings: Settings) -> None:
        self._run = run
        self._settings = settings
        self._devices = devices.visible()

    def on_starting(self, server: Arbiter) -> None:
        """In the arbiter, before the first worker."""
        prometheus.table.bind(self._run.metrics, ARBITER)

    def pre_fork(self, server: Arbiter, worker: Worker) -> None:
        """In the arbiter: gives the worker a row in the shared table, and a device."""
        taken = {other.row.number for other in server.WORKERS.values()}
        worker.row = WorkerRow(next(number for number in itertools.count(FIRST_WORKER) if number not in taken))
        worker.row.clear()
        worker.rolling = server.outgoing_pid != 0
        staying = [
            other.device
            for pid, other in server.WORKERS.items()
            if pid != server.outgoing_pid and other.row.state != WorkerState.LEAVING
        ]
        worker.device = devices.least_used(staying, len(self._devices))

    def post_fork(self, server: Arbiter, worker: Worker) -> None:
        """In a new worker, before its application is made."""
        configure(everything=True)
        sys.setswitchinterval(0.001)  # the GIL is handed over often, so that /ping gets its turn
        prometheus.table.bind(self._run.metrics, worker.row.number)
        worker_state.enter_loading(self._settings.threads)
        if worker.device is not None:
            os.environ[devices.VARIABLE] = self._devices[worker.device]

    def post_worker_init(self, worker: Worker) -> None:
        """In a worker that has its application, before it accepts connections.

        Waits for its model if another worker is ready: a worker that comes back should take no request that it cannot
        answer at once. If it cannot load its model, it exits instead, while there are workers that have it.
        """
        model = worker.wsgi.model
        if model.ping() != 503:  # 500, too, is known a moment before loading has finished
            while not model.load_finished and worker.alive:
                worker.notify()
                gevent.sleep(0.02)
        if worker_state.own_state() == WorkerState.FAILED and (worker.rolling or worker_state.ready_workers()):
            sys.exit(0)

    def worker_exit(self, server: Arbiter, worker: Worker) -> None:
        """In a worker whose connections have ended. Threads that a model has left may not keep the process for long."""
        if worker.pid == os.getpid():  # gunicorn calls this in the arbiter, too
            timer = threading.Timer(EXIT_S, os._exit, (0,))
            timer.daemon = True
            timer.start()

    def child_exit(self, server: Arbiter, worker: Worker) -> None:
        """In the arbiter, when a worker has ended."""
        try:
            if server.LISTENERS:  # else the whole server is ending
                was_rolled = worker.row.state == WorkerState.LEAVING
                (prometheus.rolled if was_rolled else prometheus.restarts).add()
                server.worker_ended(worker)
        finally:
            worker.row.clear()
