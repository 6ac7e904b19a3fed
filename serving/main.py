"""`serve`: starts gunicorn and nginx, watches them, and ends them.

    serve            answers /ping and /invocations on port 8080 with the model in /opt/ml/model
    serve --help     this text

SAGEMAKER_BIND_TO_PORT moves the port and SAGEMAKER_BASE_DIR the root /opt/ml; docs/environment.md lists the other
settings. Ends with a non-zero status when either server dies, with 0 after SIGTERM.
"""

from __future__ import annotations

import os
import resource
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from byo_container.container.discovery import code_folders, find_for_serving, put_on_path
from byo_container.container.failure import JobError, describe, explain_status
from byo_container.container.log import configure, log
from byo_container.container.paths import Paths
from byo_container.container.process.child import Child, Command
from byo_container.container.process.supervisor import Supervisor
from byo_container.container.resources import cores
from byo_container.container.source import pip
from byo_container.serving.metrics import worker_state
from byo_container.serving.metrics.prometheus import table
from byo_container.serving.metrics.shared_table import SERVE
from byo_container.serving.models import submitted_code
from byo_container.serving.nginx import config as nginx
from byo_container.serving.nginx.logs import AccessLog, NginxErrorLog
from byo_container.serving.run_folder import RunFolder, new_run_folder
from byo_container.serving.settings import Settings, folder_bytes

# The platform sends SIGKILL 30 s after SIGTERM. Requests in flight may take this long, then gunicorn this long to exit.
DRAIN_S = 22.0
END_S = 3.0


def main(arguments: Sequence[str] = ()) -> int:
    """Serves until SIGTERM, and returns the exit status."""
    configure()
    if arguments:
        if arguments[0] in ("-h", "--help"):
            print(__doc__)
            return 0
        log.error("serve takes no arguments, and was given %s; see serve --help", shlex.join(arguments))
        return 2
    paths = Paths.from_environment()
    try:
        settings = Settings.from_environment(model_bytes=folder_bytes(paths.model))
        with new_run_folder() as run, Supervisor() as supervisor:
            submitted_code.bring(paths, run.path)
            if not settings.multi_model:
                find_for_serving(paths)  # a model that cannot be served is reported now
            put_on_path(code_folders(paths))  # and so is a user's folder with the name of one of ours
            install_requirements(supervisor, paths)
            return serve(supervisor, settings, run)
    except Exception as error:
        log.error("serve: %s", describe(error))
        return 1


def serve(supervisor: Supervisor, settings: Settings, run: RunFolder) -> int:
    """Starts both servers and waits until either ends, or for SIGTERM."""
    if supervisor.stop_requested:
        return 0
    allow_many_files()
    front = nginx.find() if settings.nginx else None
    if not front:
        why = "nginx is not installed" if settings.nginx else "nginx is switched off (MODEL_SERVER_NGINX)"
        log.warning("%s: gunicorn listens on port %d itself", why, settings.port)
    settings = replace(settings, nginx=bool(front))
    run.write_settings(settings)
    table.create(run.metrics, settings.workers)
    table.bind(run.metrics, SERVE)
    servers = [supervisor.start(gunicorn_command(settings, run))]
    if front:
        await_socket(supervisor, servers[0], run.health_socket)
    if front and not supervisor.stop_requested:
        access_log, error_log = AccessLog(), NginxErrorLog()
        servers.append(supervisor.start(nginx_command(front, settings, run, access_log, error_log)))

        def flush() -> None:
            access_log.flush()
            error_log.flush()

        supervisor.on_poll = flush
    status = watch(supervisor, servers, settings)
    worker_state.start_draining()
    drain(supervisor, servers)
    return status


def await_socket(supervisor: Supervisor, gunicorn: Child, socket: Path) -> None:
    """Waits for the socket that nginx will connect to, so that no connection is refused. It exists long before a model
    is loaded."""
    while not socket.exists() and gunicorn.status is None and not supervisor.stop_requested:
        supervisor.poll(0.01)


def allow_many_files() -> None:
    """Raises the limit of open files, for each connection is one, here and in the servers that we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def watch(supervisor: Supervisor, servers: list[Child], settings: Settings) -> int:
    """Returns 0 after SIGTERM, 1 when a server has ended or no worker became ready in time. SIGHUP is passed on to
    gunicorn, see workers/arbiter.py."""
    deadline = time.monotonic() + settings.startup_timeout_s
    while not supervisor.stop_requested:
        supervisor.poll(1.0)
        # Where there are workers, gunicorn handles the signal. Before, it would die of it.
        if supervisor.reload_requested and worker_state.present_workers():
            supervisor.reload_requested = False
            servers[0].signal_leader(signal.SIGHUP)
        for server in servers:
            if server.status is not None:
                log.error("%s %s: serve ends", server.command.name, explain_status(server.status))
                return 1
        if time.monotonic() > deadline and not worker_state.any_worker_was_ready():
            log.error(
                "no worker was ready after %d s (SAGEMAKER_STARTUP_TIMEOUT): serve ends", settings.startup_timeout_s
            )
            return 1
    return 0


def drain(supervisor: Supervisor, servers: list[Child]) -> None:
    """Ends the servers from the outside in: nginx takes no new requests and waits for the running ones, then gunicorn
    ends. Without nginx, gunicorn does both."""
    # SIGQUIT is nginx's graceful end, SIGTERM gunicorn's.
    for server, number in zip(reversed(servers), (signal.SIGQUIT, signal.SIGTERM)[-len(servers) :], strict=True):
        if server.status is None:
            server.signal_leader(number)
            limit_s = DRAIN_S if server is servers[-1] else END_S
            if not supervisor.wait([server], limit_s):
                log.warning("%s has not ended in %.0f s, and is ended", server.command.name, limit_s)


def gunicorn_command(settings: Settings, run: RunFolder) -> Command:
    """gunicorn with our configuration, which it makes from the settings in the run folder."""
    return Command(
        # -P: not from the working directory, which may hold a folder called byo_container, too.
        [sys.executable, "-P", "-m", "byo_container.serving.workers"],
        name="gunicorn",
        env={**run.environment, **thread_limits(settings)},
    )


def thread_limits(settings: Settings) -> dict[str, str]:
    """Variables that limit the threads of frameworks, because the workers share the cores. What is set stays."""
    share = str(max(1, cores() // settings.workers))
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {name: share for name in names if name not in os.environ}


def nginx_command(
    front: str, settings: Settings, run: RunFolder, access_log: AccessLog, error_log: NginxErrorLog
) -> Command:
    """nginx with a configuration written for this run. Its output comes to the two logs."""
    run.nginx_config.write_text(nginx.configuration(settings, run, as_root=os.geteuid() == 0))
    return Command(
        nginx.command_line(front, run.nginx_config), name="nginx", on_line=access_log.line, on_error_line=error_log.line
    )


def install_requirements(supervisor: Supervisor, paths: Paths) -> None:
    """Installs the requirements.txt beside a user's serving code, if any, and checks that `serve` still works. Raises
    JobError."""
    folders = [folder for folder in code_folders(paths) if folder != paths.model]
    command = next(filter(None, map(pip.install, folders)), None)
    if not command:
        return
    check = Command(
        [sys.executable, "-P", "-c", "import byo_container.serving.workers.worker"],
        name=f"`serve`, with what {command.name} has installed,",
        capture=True,
    )
    for each in (command, check):
        child = supervisor.start(each)
        while child.status is None and not supervisor.stop_requested:
            supervisor.poll(1.0)
        if child.status:
            raise JobError(f"{each.name} {explain_status(child.status)}:\n{child.tail()[-1000:]}")
