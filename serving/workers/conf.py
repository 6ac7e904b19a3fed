"""gunicorn's configuration: read by the processes that `serve` starts, from the same environment."""

from __future__ import annotations

import itertools
import os
import resource
import sys
import threading
from typing import Any

from byo_container.container import log
from byo_container.serving import devices
from byo_container.serving.metrics import prometheus, worker_state
from byo_container.serving.metrics.shared_table import ARBITER, FIRST_WORKER
from byo_container.serving.metrics.worker_state import WorkerRow, WorkerState
from byo_container.serving.run_folder import RunFolder

run = RunFolder.from_environment()
settings = run.read_settings()
behind_nginx = settings.nginx

gpus = devices.visible()
# How long a worker that has ended its requests may take to end itself.
END_S = 2.0

sockets = [f"unix:{run.predictions_socket}", f"unix:{run.health_socket}"]
bind = sockets if behind_nginx else [f"0.0.0.0:{settings.port}"]
workers = settings.workers
worker_class = "byo_container.serving.workers.worker.Worker"
# A worker's loop reports by itself, also while the model computes. Only one whose loop stands still is killed.
timeout = settings.timeout_s + 30
graceful_timeout = 25
# Longer than nginx keeps an idle connection (60 s), so that nginx never sends into one that is being closed.
keepalive = 75
# As many as nginx holds, where as many files may be open and some are left for the model. Beyond them one that is idle
# has to go.
files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
worker_connections = 16384 if files == resource.RLIM_INFINITY else min(16384, files * 3 // 4)
# No client is a proxy whose word counts, wherever it comes from.
forwarded_allow_ips = ""
forwarder_headers = ""
# Of the socket behind nginx: the queue in front of the workers, see listener.py. Of many models each has its own.
backlog = settings.queue_size if behind_nginx and not settings.multi_model else 2048
# nginx limits both, so that what it lets through must pass. Without it these are the limits.
limit_request_line = 0 if behind_nginx else 8190
limit_request_fields = 32768 if behind_nginx else 200
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(run.path)  # noqa: S108
control_socket_disable = True
errorlog = "-"
accesslog = "-" if settings.access_log and not behind_nginx else None
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s %(D)sus %({x-request-id}i)s'
loglevel = "warning"
logger_class = "byo_container.serving.workers.logger.Logger"
proc_name = "byo-container"
preload_app = False  # every worker loads the model itself: frameworks do not survive a fork


def on_starting(server: Any) -> None:
    """In the master."""
    server.load_timeout_s = settings.startup_timeout_s
    prometheus.table.bind(run.metrics, ARBITER)


def pre_fork(server: Any, worker: Any) -> None:
    """In the master: a row for what the worker counts, and a device."""
    taken = {other.row.number for other in server.WORKERS.values()}
    worker.row = WorkerRow(next(number for number in itertools.count(FIRST_WORKER) if number not in taken))
    worker.row.clear()
    worker.rolling = server.outgoing_pid != 0
    staying = [
        other.device
        for pid, other in server.WORKERS.items()
        if pid != server.outgoing_pid and other.row.state != WorkerState.LEAVING
    ]
    worker.device = devices.least_used(staying, len(gpus))


def post_fork(server: Any, worker: Any) -> None:
    """In a new worker: our own log, and the GIL handed over often, so that /ping gets its turn."""
    log.configure(everything=True)
    sys.setswitchinterval(0.001)
    prometheus.table.bind(run.metrics, worker.row.number)
    worker_state.enter_loading(settings.threads)
    if worker.device is not None:
        os.environ[devices.VARIABLE] = gpus[worker.device]


def post_worker_init(worker: Any) -> None:
    """Before a worker accepts connections: waits for its model where another worker serves already, so that
    a worker that comes back takes no request that it cannot answer at once. One that is to take over from another
    and cannot load its model takes none at all, and ends, as does any other one while there are workers that could."""
    import gevent

    from byo_container.serving.workers.application import model

    def pause() -> None:
        worker.notify()
        gevent.sleep(0.02)

    if model.ping() == 200:
        while not model.load_finished and worker.alive:
            pause()
    if worker_state.own_state() == WorkerState.FAILED and (worker.rolling or worker_state.ready_workers()):
        sys.exit(0)
    model.on_retire = worker_state.want_replacement


def worker_exit(server: Any, worker: Any) -> None:
    """In a worker whose connections have ended. Threads that a model has left may not keep the process for long."""
    if worker.pid == os.getpid():  # the master calls this, too
        timer = threading.Timer(END_S, os._exit, (0,))
        timer.daemon = True
        timer.start()


def child_exit(server: Any, worker: Any) -> None:
    """In the master, when a worker has ended."""
    try:
        if server.LISTENERS:  # else everything is to end
            (prometheus.rolled if worker.row.state == WorkerState.LEAVING else prometheus.restarts).add()
            server.worker_ended(worker)
    finally:
        worker.row.clear()
