"""Running children, also as process 1 of a container: signals forwarded, zombies reaped, ends enforced.

Here and in child.py are the only places where byo-container starts processes. As process 1 the kernel gives us
no default for SIGTERM and hands us every orphan; as an ordinary process we ask for the orphans (child subreaper),
so that both are the same and no container needs tini.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from byo_container.container.failure import JobStopped
from byo_container.container.log import log
from byo_container.container.process import tree
from byo_container.container.process.child import Child, Command, descendants, spawn
from byo_container.container.process.output import Output

PIPE_READS = 32  # of 64 KiB each: more than the largest pipe holds
# The platform stops a job by `docker stop -t 120`; the last two seconds are ours, to write the failure file.
STOP_GRACE_S = 118.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOK_EVERY_S = 0.1  # at the processes that are left
READER_S = 2.0
KILL_TIME_S = 5.0  # which SIGKILL may take
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


def become_subreaper() -> None:
    """Makes every orphan below this process a child of it, as if it were process 1."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Supervisor:
    """Starts children and sees what becomes of them. A context manager, used in the main thread:

    with Supervisor() as supervisor:
        child = supervisor.start(command)
        while child.status is None and not supervisor.stop_requested:
            supervisor.poll(1.0)
    """

    def __init__(self, deaf_afterwards: bool = False) -> None:
        """`deaf_afterwards`: SIGTERM and SIGINT are ignored when this has ended, instead of doing what they did."""
        self.stop_requested = False
        self.reload_requested = False
        """Whether there was a SIGHUP. Who heeds it takes it back."""
        self.children: dict[int, Child] = {}
        self.on_poll: Callable[[], None] | None = None
        """Called after every wait, which then is of `interval_s` at most."""
        self.interval_s = 0.25
        self._selector = selectors.DefaultSelector()
        self._outputs: list[Output] = []
        self._parent = os.getppid()
        self._deaf_afterwards = deaf_afterwards
        self.has_to_end: Callable[[], bool] = lambda: False
        """Whether the work has to end for another reason than a signal."""
        self._reader_until = math.inf
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Supervisor:
        become_subreaper()
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
        self._drain(self._outputs)
        for output in list(self._outputs):
            self._close(output)
        for number, handler in self._handlers.items():
            deaf = self._deaf_afterwards and number in STOP_SIGNALS
            signal.signal(number, signal.SIG_IGN if deaf else handler)
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

    @property
    def is_orphan(self) -> bool:
        """Whether the process that started this one has ended since."""
        return os.getppid() != self._parent

    def start(self, command: Command) -> Child:
        """Starts a command. Raises JobError where it cannot be run at all."""
        child = spawn(command)
        self.children[child.pid] = child
        for output in child.outputs:
            self.pass_on(output)
        return child

    def pass_on(self, output: Output) -> None:
        """Copies what comes by a pipe while we wait, to its end."""
        output.while_blocked = self._poll_others
        self._selector.register(output.stream, selectors.EVENT_READ, output)
        self._outputs.append(output)

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

    def poll_for(self, seconds: float) -> None:
        """Waits for all events of a time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.poll(left)

    def _poll_others(self) -> bool:
        """What must go on while nobody reads our output: the other hosts would take our silence for our end. Whether to
        go on waiting for a reader: one that is slow gets READER_S after the work has to end, for one that is stuck must
        not keep a SIGTERM from those who would save."""
        for key, _ in self._selector.select(0):
            if callable(key.data):
                key.data()
        if self.on_poll:
            self.on_poll()
        if not (self.stop_requested or self.has_to_end()):
            return True
        self._reader_until = min(self._reader_until, time.monotonic() + READER_S)
        return time.monotonic() < self._reader_until

    def watch(self, stream: int, on_readable: Callable[[], None]) -> None:
        """Has `on_readable` called while we wait, whenever the file descriptor `stream` has something to read."""
        self._selector.register(stream, selectors.EVENT_READ, on_readable)

    def unwatch(self, stream: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(stream)

    def _close(self, output: Output) -> None:
        if not output.stream.closed:
            self._selector.unregister(output.stream)
            self._outputs.remove(output)
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
                self._drain(child.outputs)
                child.ended(wait_status)

    def _drain(self, outputs: Sequence[Output]) -> None:
        """Copies what pipes hold now. At the end of a child its pipes stay open for what it has left behind: a process
        that is told to end, and prints that it saves, would fail of a broken pipe."""
        for output in list(outputs):
            for _ in range(PIPE_READS):
                if not output.copy():
                    self._close(output)
                    break

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
            elif time.monotonic() > deadline + KILL_TIME_S:
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
    where SIGTERM came between two stages, whose work is then not done. One that comes after this call is ignored: what
    became of the work is settled, and only has to be written down.
    """
    children: list[Child] = []
    with Supervisor(deaf_afterwards=True) as supervisor:
        if company:
            company.attend(supervisor)
            supervisor.has_to_end = lambda: company.grace_s is not None
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
            stop(supervisor, children, company.grace_s)
        elif any(child.failed for child in children):
            stop(supervisor, children, grace_s)
        elif supervisor.stop_requested:
            _stop_work(supervisor, work, grace_s)
    over = company is not None and company.grace_s is not None
    if supervisor.stop_requested and not over:  # it may have ended before it was told, and left others who would save
        _stop_work(supervisor, work, grace_s)


def _stop_work(supervisor: Supervisor, work: list[Child], grace_s: float) -> None:
    """SIGTERM to all but the services. A launcher is spared: its ranks get the signal (training/processes/rank.py),
    and it ends
    when they have."""
    launchers = [child for child in work if child.command.leads_ranks]
    stop(supervisor, work, grace_s, spared=launchers, strays=bool(work) and not launchers)


def stop(
    supervisor: Supervisor,
    children: Sequence[Child],
    grace_s: float,
    spared: Sequence[Child] = (),
    strays: bool = False,
    told: Iterable[int] = (),
) -> None:
    """SIGTERM to all processes of `children` but those `spared`, and SIGKILL after `grace_s`.

    A shell dies of the first at once, and the training that it has started goes on to save: what counts is that all
    have ended that it has started. Those whose parent has ended are ours; with `strays` they are stopped too when they
    have left the session of the child that started them. `told` are pids that have had their SIGTERM.
    """
    running = [child for child in children if child.status is None]
    for child in running:
        log.info("sending SIGTERM to %s; it has %.0f s to save and end", child.command.name, grace_s)
        child.was_stopped = True
    stopping = _Stopping(supervisor, {child.pid for child in running}, {child.pid for child in spared}, strays)
    if stopping.terminate(grace_s, set(told)):
        late = [child for child in running if child.status is None or child.pid in stopping.sessions_alive()]
        names = ", ".join(child.command.name for child in late) or "a process that was left behind"
        log.warning("%s still runs after %.0f s: SIGKILL", names, grace_s)
        for child in late:
            child.overdue = True
        stopping.kill()


@dataclass
class _Stopping:
    """The processes of some children, told to end. `leaders` are the children's pids, which name their sessions too."""

    supervisor: Supervisor
    leaders: set[int]
    spared: set[int]
    strays: bool

    def look(self) -> bool:
        """Takes down what is left; whether there is anything."""
        self.processes, own = tree.snapshot(), os.getpid()
        self.roots = [process.pid for process in self.processes.values() if process.parent == own and self._is(process)]
        return bool(self.roots)

    def _is(self, process: tree.Process) -> bool:
        is_stray = self.strays and process.pid not in self.supervisor.children
        return not process.is_zombie and (is_stray or process.session in self.leaders)

    def sessions_alive(self) -> set[int]:
        """The sessions of all that are left."""
        return {process.session for process in tree.below(self.processes, self.roots)}

    def terminate(self, grace_s: float, told: set[int]) -> bool:
        """SIGTERM, once to each but those who are `told`; whether any are left after `grace_s`."""
        began, began_in_ticks, elapsed_s = time.monotonic(), tree.now_in_ticks(), 0.0
        while self.look():
            # In the end nobody is left to a parent that may wait for it in vain.
            answers = tree.answers_for_children if elapsed_s < grace_s / 2 else tree.nobody_answers
            roots = [pid for pid in self.roots if pid not in self.spared]
            due = tree.to_signal(self.processes, roots, answers)
            # What was started later is a part of the saving.
            due = [process for process in due if process.pid not in told and process.started <= began_in_ticks]
            tree.send(signal.SIGTERM, due, self.processes)
            told.update(process.pid for process in due)
            elapsed_s = time.monotonic() - began
            if elapsed_s >= grace_s:
                return True
            self.supervisor.poll_for(min(LOOK_EVERY_S, grace_s - elapsed_s))
        return False

    def kill(self) -> None:
        """SIGKILL, until nothing is left or it is clear that it does not help."""
        deadline = time.monotonic() + KILL_TIME_S
        while self.look() and time.monotonic() < deadline:
            tree.send(signal.SIGKILL, tree.below(self.processes, self.roots), self.processes)
            self.supervisor.poll(0.05)


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
