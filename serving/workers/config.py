"""gunicorn's configuration, made from the settings.

https://gunicorn.org/reference/settings/
"""

from __future__ import annotations

import os
import resource
from typing import Any

from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import Settings
from byo_container.serving.workers.hooks import Hooks

MAX_CONNECTIONS = 16384  # as many as nginx holds, see nginx.conf.template


def configuration(run: RunFolder, settings: Settings) -> dict[str, Any]:
    """The value of each of gunicorn's settings that is not gunicorn's default."""
    hooks = Hooks(run, settings)
    common = {
        "workers": settings.workers,
        "worker_class": "byo_container.serving.workers.worker.Worker",
        # A worker's loop reports by itself, also while the model computes: only one whose loop stands still is killed.
        "timeout": settings.timeout_s + 30,
        "graceful_timeout": 25,
        # Longer than nginx keeps an idle connection (60 s), so that nginx never sends into one that is being closed.
        "keepalive": 75,
        "worker_connections": worker_connections(),
        # No client is a proxy that is believed, wherever it comes from.
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(run.path),  # noqa: S108
        "control_socket_disable": True,
        "errorlog": "-",
        "access_log_format": '%(h)s "%(r)s" %(s)s %(b)s %(D)sus %({x-request-id}i)s',
        "loglevel": "warning",
        "logger_class": "byo_container.serving.workers.logger.Logger",
        "proc_name": "byo-container",
        "preload_app": False,  # every worker loads the model itself: frameworks do not survive a fork
        "on_starting": hooks.on_starting,
        "pre_fork": hooks.pre_fork,
        "post_fork": hooks.post_fork,
        "post_worker_init": hooks.post_worker_init,
        "worker_exit": hooks.worker_exit,
        "child_exit": hooks.child_exit,
    }
    return common | (_behind_nginx(run, settings) if settings.nginx else _alone(settings))


def _behind_nginx(run: RunFolder, settings: Settings) -> dict[str, Any]:
    return {
        "bind": [f"unix:{run.predictions_socket}", f"unix:{run.health_socket}"],
        # The queue in front of the workers, see accept.py. In multi-model mode every model has its own queue.
        "backlog": 2048 if settings.multi_model else settings.queue_size,
        # nginx limits both, and what it lets through must pass.
        "limit_request_line": 0,
        "limit_request_fields": 32768,
        "accesslog": None,
    }


def _alone(settings: Settings) -> dict[str, Any]:
    return {
        "bind": [f"0.0.0.0:{settings.port}"],
        "backlog": 2048,
        "limit_request_line": 8190,
        "limit_request_fields": 200,
        "accesslog": "-" if settings.access_log else None,
    }


def worker_connections() -> int:
    """How many connections a worker holds: as many as nginx, if so many files may be open and some are left for the
    model. Beyond them the one that has been idle longest is ended."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files * 3 // 4)
