"""Running children, also as process 1 of a container: signals forwarded, zombies reaped, ends enforced.

Here and in child.py are the only places where byo-container starts processes. As process 1 the kernel gives us
no default for SIGTERM and hands us every orphan; as an ordinary process we ask for the orphans (child subreaper),
so that both are the same and no container needs tini.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any, Protocol

from container.child import Child, Command, descendants, spawn
from container.failure import JobStopped
from container.log import log
from container.output import Output

PIPE_READS = 32  # of 64 KiB each: more than the largest pipe holds
# The platform stops a job by `docker stop -t 120`; the last two seconds are ours, to write the failure file.
STOP_GRACE_S = 118.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


class Supervisor:
    """Starts children and sees what becomes of them. A context manager, used in the main thread:

    with Supervisor() as supervisor:
        child = supervisor.start(command)
        while child.status is None and not supervisor.stop_requested:
            supervisor.poll(1.0)
    """

    def __init__(self) -> None:
        self.stop_requested = False
        self.reload_requested = False
        """Whether there was a SIGHUP. Who heeds it takes it back."""
        self.children: dict[int, Child] = {}
        self.on_poll: Callable[[], None] | None = None
        """Called after every wait, which then is of `interval_s` at most."""
        self.interval_s = 0.25
        self._selector = selectors.DefaultSelector()
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Supervisor:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        for number in (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD):
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number in STOP_SIGNALS:
            self.stop_requested = True
        elif number == signal.SIGHUP:
            self.reload_requested = True
        # SIGCHLD only wakes us.

    def start(self, command: Command) -> Child:
        """Starts a command. Raises JobError where it cannot be run at all."""
        child = spawn(command)
        self.children[child.pid] = child
        for output in child.outputs:
            output.while_blocked = self._poll_others
            self._selector.register(output.stream, selectors.EVENT_READ, output)
        return child

    def poll(self, timeout_s: float) -> None:
        """Waits for the next event, at most `timeout_s`: output is copied, ended children are reaped."""
        timeout_s = min(timeout_s, self.interval_s) if self.on_poll else timeout_s
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            elif not isinstance(key.data, Output):
                key.data()
            elif not key.data.copy():
                self._close(key.data)
        self._reap()
        if self.on_poll:
            self.on_poll()

    def _poll_others(self) -> None:
        """What must go on while nobody reads our output: the other hosts would take our silence for our end."""
        for key, _ in self._selector.select(0):
            if callable(key.data):
                key.data()
        if self.on_poll:
            self.on_poll()

    def watch(self, stream: int, on_readable: Callable[[], None]) -> None:
        """Has `on_readable` called while we wait, whenever the file descriptor `stream` has something to read."""
        self._selector.register(stream, selectors.EVENT_READ, on_readable)

    def unwatch(self, stream: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(stream)

    def _close(self, output: Output) -> None:
        if not output.stream.closed:
            self._selector.unregister(output.stream)
            output.stream.close()

    def _reap(self) -> None:
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.children:
                child = self.children.pop(pid)
                self._drain(child)
                child.ended(wait_status)

    def _drain(self, child: Child) -> None:
        """The last words of a child: what its pipes hold now, for a daemon of its may keep them open."""
        for output in child.outputs:
            for _ in range(PIPE_READS):
                if not output.copy():
                    break
            self._close(output)

    def wait(self, children: Iterable[Child], timeout_s: float) -> bool:
        """Waits until all `children` have ended, at most `timeout_s`; says whether they have."""
        children = list(children)
        deadline = time.monotonic() + timeout_s
        while any(child.status is None for child in children):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.poll(min(left, 1.0))
        return True

    def end_all(self, grace_s: float = 2.0) -> None:
        """Ends every child and every orphan of theirs: SIGTERM, then SIGKILL after `grace_s`."""
        deadline = time.monotonic() + grace_s
        number = signal.SIGTERM
        told: set[int] = set()
        while pids := list(descendants(os.getpid())):
            for pid in pids:
                if pid not in told:
                    told.add(pid)
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
            self.poll(0.05)
            if time.monotonic() > deadline and number is signal.SIGTERM:
                number, told = signal.SIGKILL, set()
            elif time.monotonic() > deadline + 5:
                log.warning("processes %s do not end, not even by SIGKILL", pids)
                return


class Company(Protocol):
    """The other hosts of a job, whose fate this one shares."""

    grace_s: float | None
    """None while all is well. Else everything here has to end, and may take so much time to."""

    def attend(self, supervisor: Supervisor) -> None:
        """Talks to the other hosts while `supervisor` waits."""


Stage = Sequence[Command] | Callable[[Supervisor], Sequence[Command]]
"""Commands that run side by side; or what waits until it can tell them, and tells none when it is too late."""


def run(stages: Sequence[Stage], grace_s: float, company: Company | None = None) -> list[Child]:
    """Runs stage after stage, the commands of one side by side, until all have ended or one has failed.
    Gives back the children of the last stage that ran, with their statuses, without the services that ran to
    the end.

    The first that fails, here or in the company, ends the others. SIGTERM goes on to all that run; who still
    does `grace_s` seconds later is killed. Nothing that they started outlives this call. Raises JobStopped
    where SIGTERM came between two stages, whose work is then not done.
    """
    children: list[Child] = []
    with Supervisor() as supervisor:
        if company:
            company.attend(supervisor)
        for stage in stages:
            commands = stage(supervisor) if callable(stage) else stage
            if supervisor.stop_requested:
                raise JobStopped(f"before {commands[0].name if commands else 'it'} began")
            started = [supervisor.start(command) for command in commands]
            children = [child for child in started if not child.command.background]
            _attend(supervisor, children, grace_s, company)
            over = company is not None and company.grace_s is not None
            children = [
                child for child in children if child.status is not None and not (over and child.command.service)
            ]
            if over or any(child.failed for child in children):
                break
        if company and company.grace_s is not None:
            supervisor.end_all(grace_s=0.5)  # they have had their SIGTERM, and the other hosts wait
    return children


def _attend(supervisor: Supervisor, children: list[Child], grace_s: float, company: Company | None) -> None:
    """Until all children but the services have ended; a host of services alone goes on until the company ends."""
    work = [child for child in children if not child.command.service]
    while any(child.status is None for child in work or children):
        supervisor.poll(1.0)
        if company and company.grace_s is not None:
            _stop(supervisor, children, company.grace_s)
        elif any(child.failed for child in children):
            _stop(supervisor, children, grace_s)
        elif supervisor.stop_requested:
            _stop(supervisor, work, grace_s, spare_launchers=True)


def _stop(supervisor: Supervisor, children: list[Child], grace_s: float, spare_launchers: bool = False) -> None:
    """SIGTERM to all that run, then SIGKILL. A shell dies of the first at once, and the training that it has
    started goes on to save: what counts is its whole process group."""
    running = [child for child in children if child.status is None]
    for child in running:
        log.info("sending SIGTERM to %s; it has %.0f s to save and end", child.command.name, grace_s)
        if not (spare_launchers and child.command.leads_ranks):
            child.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while any(child.group_lives() for child in running) and time.monotonic() < deadline:
        supervisor.poll(0.2)
    for child in running:
        if child.group_lives():
            log.warning("%s still runs after %.0f s: SIGKILL", child.command.name, grace_s)
            child.overdue = True
            child.signal(signal.SIGKILL)
    supervisor.wait(running, 5)


class StopFlag:
    """SIGTERM as a question instead of the exception JobStopped, for a training loop that would save first:

    with StopFlag() as stop:
        for batch in batches:
            if stop.requested:
                break
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopFlag:
        self._old = signal.signal(signal.SIGTERM, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._old)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
