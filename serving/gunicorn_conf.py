"""gunicorn's configuration: read by the processes that `serve` starts, from the same environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from container import log
from serving.settings import Settings

settings = Settings.from_environment()
runtime = Path(os.environ["BYO_SERVE_RUNTIME"])

bind = os.environ["BYO_SERVE_BIND"].split(",")
workers = settings.workers
worker_class = "serving.worker.Worker"
# A worker's loop reports by itself, also while the model computes. Only one whose loop stands still is killed.
timeout = settings.timeout_s + 30
graceful_timeout = 25
# Longer than nginx keeps an idle connection (60 s), so that nginx never sends into one that is being closed.
keepalive = 75
# nginx limits both, so that what it lets through must pass.
limit_request_line = 0
limit_request_fields = 32768
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(runtime)  # noqa: S108
control_socket_disable = True
errorlog = "-"
accesslog = "-" if settings.access_log and not bind[0].startswith("unix:") else None
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s %(D)sus'
loglevel = "warning"
logger_class = "serving.logger.Logger"
proc_name = "byo-container"
preload_app = False  # every worker loads the model itself: frameworks do not survive a fork


def post_fork(server: Any, worker: Any) -> None:
    """In a new worker: our own log, and the GIL handed over often, so that /ping gets its turn."""
    log.configure()
    sys.setswitchinterval(0.001)


def post_worker_init(worker: Any) -> None:
    """Before a worker accepts connections: waits for its model where another worker serves already, so that
    a worker that comes back takes no request that it cannot answer at once."""
    from serving.wsgi import model

    if model.ping() == 200:
        while not model.settled and worker.alive:
            worker.notify()
            import gevent

            gevent.sleep(0.05)
    model.on_retire = lambda: setattr(worker, "alive", False)
