"""Splits a command into two processes, so that nothing outlives either of them when it is killed with SIGKILL.

The command itself (process 1 of a container) becomes the guardian: it only passes SIGTERM on and waits. Its only child,
the supervisor, does the work, in a session of its own, so that a signal to a process group does not reach both.

- If the guardian is killed, the kernel sends SIGTERM to the supervisor (PR_SET_PDEATHSIG), which stops the job as
  usual.
- If the supervisor is killed, everything that it has started becomes a child of the guardian (child subreaper), even
  processes that have left its group and session. The guardian sends SIGTERM, gives the same time to save, sends
  SIGKILL, and writes the failure report.

PR_SET_PDEATHSIG alone would reach direct children only, and those may ignore SIGTERM. It still is all there is where
both are killed at the same moment (`pkill -9 train`), or the supervisor while it saves after the guardian's death. This
cannot happen in a container, where everything ends with process 1.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NoReturn

from byo_container.container.failure import JobError, JobStopped, describe, explain_status, write_failure
from byo_container.container.log import configure, log
from byo_container.container.paths import Paths
from byo_container.container.process.child import end_with_parent
from byo_container.container.process.guardian_link import announced, guardian_link
from byo_container.container.process.stop import stop, stop_grace_s
from byo_container.container.process.supervisor import STOP_SIGNALS, Supervisor, become_subreaper

# SIGHUP means nothing to a training job, and must not end its guardian.
AWAITED = {*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD}


def watch_over_us() -> None:
    """Returns in a child process, the supervisor. The calling process becomes its guardian and exits with its status.
    Call this before there are threads or children."""
    become_subreaper()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it were ignored, the supervisor's status would be lost
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)  # until a signal can be passed on
    guardian, (ours, guardian_link.socket) = os.getpid(), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guardian_link.socket.setblocking(False)
    supervisor = os.fork()
    if supervisor:
        guardian_link.socket.close()
        _guard(supervisor, ours)
    ours.close()
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    end_with_parent(guardian)


def _guard(supervisor: int, link: socket.socket) -> NoReturn:
    for awaited in AWAITED:  # visible in /proc: some programs do not signal a process 1 without handlers
        signal.signal(awaited, lambda *_: None)
    status = None
    while status is None:
        number = signal.sigwait(AWAITED)
        if number in STOP_SIGNALS:
            os.kill(supervisor, signal.SIGTERM)  # its pid cannot have been reused: only this process reaps it
        status = _reap(supervisor)
    if status >= 0:
        os._exit(status)
    _end_orphans(link, status)


def _reap(supervisor: int) -> int | None:
    """The supervisor's exit code, negative for a signal; None while it runs."""
    while True:
        pid, wait_status = os.waitpid(-1, os.WNOHANG)
        if pid == supervisor:
            return os.waitstatus_to_exitcode(wait_status)
        if pid == 0:
            return None


def _end_orphans(link: socket.socket, code: int) -> NoReturn:
    """Ends everything that a killed supervisor has left, writes the failure report, and exits."""
    configure(patient=False)
    paths = Paths.from_environment()
    has_report, grace_s, died = paths.failure.exists(), _grace_s(), explain_status(128 - code)
    log.error("train itself %s: what it has started has %.0f s to save and end", died, grace_s)
    signalled = []
    with Supervisor() as supervisor:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
        for pid, outputs in announced(link):
            signalled.append(pid)
            for output in outputs:
                supervisor.pass_on(output)
        stop(supervisor, [], grace_s, strays=True, signalled=signalled)
    if not has_report:
        stopped = code == -signal.SIGTERM  # passed on by the guardian before the supervisor had a handler
        killed = f"train itself {died}, and what it had started was stopped"
        write_failure(paths.failure, describe(JobStopped("before training began")) if stopped else killed)
    os._exit(128 - code)


def _grace_s() -> float:
    try:
        return stop_grace_s()
    except JobError:  # the supervisor has refused it before it started anything
        return 0.0
