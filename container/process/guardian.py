"""Two processes where there was one, so that nothing outlives either of them when it is killed outright.

The command itself (process 1 of a container) becomes the guardian: it does nothing but pass SIGTERM on and wait. The
work is done by its only child, the supervisor, in a session of its own, so that a signal for a process group does not
hit both.

- If the guardian is killed, the kernel sends SIGTERM to the supervisor (PR_SET_PDEATHSIG), which stops the job as it
  always does.
- If the supervisor is killed, all that it has started becomes the guardian's (child subreaper), also what has left its
  group and session. The guardian sends SIGTERM, gives the same time to save, sends SIGKILL, and leaves the reason.

PR_SET_PDEATHSIG alone would reach direct children only, and those may ignore SIGTERM. It is what is left where both are
killed in the same moment (`pkill -9 train`), or the supervisor while it saves after the guardian's death; not in a
container, where the end of process 1 is the end of all.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NoReturn

from byo_container.container import log
from byo_container.container.failure import JobStopped, describe, explain_status, write_failure
from byo_container.container.paths import Paths
from byo_container.container.process.child import JOURNAL, end_with_parent
from byo_container.container.process.supervisor import STOP_GRACE_S, STOP_SIGNALS, Supervisor, become_subreaper, stop

# A hangup is nothing to a training, and must not end who watches it.
AWAITED = {*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD}


def watch_over_us() -> None:
    """Returns in a child process, the supervisor; the process that called becomes its guardian, and ends with its
    status. To be called before there are threads or children."""
    become_subreaper()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would hide how the supervisor ended
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)  # what comes before it can be passed on waits
    guardian, (ours, JOURNAL.socket) = os.getpid(), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    JOURNAL.socket.setblocking(False)
    supervisor = os.fork()
    if supervisor:
        JOURNAL.socket.close()
        _guard(supervisor, ours)
    ours.close()
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    end_with_parent(guardian)


def _guard(supervisor: int, journal: socket.socket) -> NoReturn:
    for awaited in AWAITED:  # it is for others to see, who send nothing to a process 1 that would not notice
        signal.signal(awaited, lambda *_: None)
    status = None
    while status is None:
        number = signal.sigwait(AWAITED)
        if number in STOP_SIGNALS:
            os.kill(supervisor, signal.SIGTERM)  # it is no zombie yet: only we reap it
        status = _reap(supervisor)
    if status >= 0:
        os._exit(status)
    _end_orphans(journal, status)


def _reap(supervisor: int) -> int | None:
    """The supervisor's exit code, negative for a signal; None while it runs."""
    while True:
        pid, wait_status = os.waitpid(-1, os.WNOHANG)
        if pid == supervisor:
            return os.waitstatus_to_exitcode(wait_status)
        if pid == 0:
            return None


def _end_orphans(journal: socket.socket, code: int) -> NoReturn:
    """Ends all that a killed supervisor has left, tells why the job failed, and ends."""
    log.configure(patient=False)
    paths = Paths.from_environment()
    knows_better, grace_s, died = paths.failure.exists(), _grace_s(), explain_status(128 - code)
    log.log.error("train itself %s: what it has started has %.0f s to save and end", died, grace_s)
    told = []
    with Supervisor() as supervisor:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
        for pid, outputs in JOURNAL.read(journal):
            told.append(pid)
            for output in outputs:
                supervisor.pass_on(output)
        stop(supervisor, [], grace_s, strays=True, told=told)
    if not knows_better:
        stopped = code == -signal.SIGTERM  # by us: it had no handler yet
        killed = f"train itself {died}, and what it had started was stopped"
        write_failure(paths.failure, describe(JobStopped("before training began")) if stopped else killed)
    os._exit(128 - code)


def _grace_s() -> float:
    try:
        return float(os.environ.get("TRAINING_STOP_TIMEOUT") or STOP_GRACE_S)
    except ValueError:  # which the supervisor refuses, before it starts anything
        return 0.0
