"""Starting child processes and waiting for them, also as process 1 of a container.

To process 1 the kernel gives no default action for SIGTERM, and every orphan. An ordinary process asks for the orphans
(child subreaper), so that both cases are the same and no container needs tini.
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
from types import FrameType
from typing import Any

from byo_container.container.log import log
from byo_container.container.process.child import Child, Command, spawn
from byo_container.container.process.output import Output
from byo_container.container.process.tree import descendants

PIPE_READS = 32  # of 64 KiB each: more than the largest pipe holds
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SLOW_READER_S = 2.0  # for a slow reader of our output, once the work has to end
KILL_TIME_S = 5.0  # that a process may take to end after SIGKILL
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


def become_subreaper() -> None:
    """Makes every orphan among this process's descendants its child, as if it were process 1."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Supervisor:
    """Starts children, copies their output and reaps them. A context manager for the main thread:

    with Supervisor() as supervisor:
        child = supervisor.start(command)
        while child.status is None and not supervisor.stop_requested:
            supervisor.poll(1.0)
    """

    def __init__(
        self, stop_signals: Sequence[signal.Signals] = STOP_SIGNALS, ignore_stop_afterwards: bool = False
    ) -> None:
        """With `ignore_stop_afterwards`, `stop_signals` are ignored after this has ended. Otherwise their former
        handlers are restored."""
        self.stop_requests = 0
        """How many of `stop_signals` have come so far."""
        self.reload_requested = False
        """Set on SIGHUP; whoever handles the reload resets it."""
        self.children: dict[int, Child] = {}
        self.on_poll: Callable[[], None] | None = None
        """Called after every wait, which then takes `interval_s` at most."""
        self.interval_s = 0.25
        self._selector = selectors.DefaultSelector()
        self._outputs: list[Output] = []
        self._parent = os.getppid()
        self._stop_signals = stop_signals
        self._ignore_stop_afterwards = ignore_stop_afterwards
        self.has_to_end: Callable[[], bool] = lambda: False
        """Whether the work has to end for another reason than a signal."""
        self._reader_deadline = math.inf
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Supervisor:
        become_subreaper()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        for number in {signal.SIGHUP, signal.SIGCHLD, *self._stop_signals}:
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()
        self.drain()
        for output in list(self._outputs):
            self._close(output)
        for number, handler in self._handlers.items():
            ignored = self._ignore_stop_afterwards and number in self._stop_signals
            signal.signal(number, signal.SIG_IGN if ignored else handler)
        signal.set_wakeup_fd(self._old_wakeup)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number in self._stop_signals:
            self.stop_requests += 1
        elif number == signal.SIGHUP:
            self.reload_requested = True
        # SIGCHLD only ends the current wait.

    @property
    def stop_requested(self) -> bool:
        return self.stop_requests > 0

    def request_stop(self) -> None:
        """Acts as if a stop signal had come."""
        self.stop_requests += 1

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
        """Copies what comes through a pipe while this waits, until the pipe is closed."""
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
        """Handles all events for that many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.poll(left)

    def _poll_others(self) -> bool:
        """Handles the other events while nobody reads our output, such as network connections that must not time out.
        Returns whether to go on waiting for the reader. A slow one gets SLOW_READER_S once the work has to end: a stuck
        one must not keep SIGTERM from processes that would save."""
        for key, _ in self._selector.select(0):
            if callable(key.data):
                key.data()
        if self.on_poll:
            self.on_poll()
        if not (self.stop_requested or self.has_to_end()):
            return True
        self._reader_deadline = min(self._reader_deadline, time.monotonic() + SLOW_READER_S)
        return time.monotonic() < self._reader_deadline

    def watch(self, stream: int, on_readable: Callable[[], None]) -> None:
        """Calls `on_readable` whenever the file descriptor `stream` can be read while this waits."""
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
                self.drain(child.outputs)
                child.ended(wait_status)

    def drain(self, outputs: Sequence[Output] | None = None) -> None:
        """Reads what is still in the pipes, of all children by default. The pipes of a child that has ended stay open:
        a process that it left behind, and that prints while it saves, would otherwise fail with a broken pipe."""
        for output in list(self._outputs if outputs is None else outputs):
            for _ in range(PIPE_READS):
                if not output.copy():
                    self._close(output)
                    break

    def wait(self, children: Iterable[Child], timeout_s: float) -> bool:
        """Waits until all `children` have ended, at most `timeout_s`. Returns whether they have."""
        children = list(children)
        deadline = time.monotonic() + timeout_s
        while any(child.status is None for child in children):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.poll(min(left, 1.0))
        return True

    def end_all(self, grace_s: float = 2.0) -> None:
        """Ends every child and every orphan of theirs: SIGTERM, and SIGKILL after `grace_s`."""
        deadline = time.monotonic() + grace_s
        number = signal.SIGTERM
        signalled: set[int] = set()
        while pids := list(descendants(os.getpid())):
            for pid in pids:
                if pid not in signalled:
                    signalled.add(pid)
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
            self.poll(0.05)
            if time.monotonic() > deadline and number is signal.SIGTERM:
                number, signalled = signal.SIGKILL, set()
            elif time.monotonic() > deadline + KILL_TIME_S:
                log.warning("processes %s do not end, not even by SIGKILL", pids)
                return
