"""One command that is run, and the process that it has become."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import math
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from byo_container.container.failure import STOPPED_STATUS, JobError, Written, describe_child, explain_status
from byo_container.container.process import tree
from byo_container.container.process.output import Output
from byo_container.container.tracebacks import HEADER

_PR_SET_PDEATHSIG = 1
LONGEST_STRING = 131_071
"""Bytes of a variable with its name, or of an argument: Linux's MAX_ARG_STRLEN without the NUL at the end.
Source: https://man7.org/linux/man-pages/man2/execve.2.html"""
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Command:
    """What is to be run. `env` is added to our own environment; `capture` keeps the end of the output.
    `on_error_line` gets what it writes to stderr, line by line, in place of our own stderr. A `service` runs
    for the sake of others and is ended when they have ended; that it ends before them is a failure."""

    argv: Sequence[str]
    name: str
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    capture: bool = False
    on_error_line: Callable[[str], None] | None = None
    on_line: Callable[[str], None] | None = None
    """The same for stdout."""
    service: bool = False
    whole_lines: bool = False
    """Whether what is captured is passed on line by line, because others write to the same place."""
    leads_ranks: bool = False
    """Whether it is a launcher, whose ranks get SIGTERM themselves and which ends when they have."""
    watch: Callable[[bytes], None] | None = None
    """Gets the lines of what is captured, as they are passed on: whole ones, many at once; b"" where a stream ends."""
    background: bool = False
    """Whether it runs beside the others for as long as they do, and how it ends matters to nobody."""


class Child:
    """A running command, the leader of a session and process group of its own."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes]) -> None:
        self.command = command
        self.pid = process.pid
        self.status: int | None = None
        """The exit status as a shell gives it (128 + N for signal N); None while it runs."""
        self._written: tuple[Written, Written] | None = None
        self.ended_at = math.inf
        self.overdue = False
        """Whether it was killed because it did not end in time after SIGTERM."""
        self.was_stopped = False
        """Whether it was sent SIGTERM."""
        self.was_killed = False
        """Whether it died of a signal, instead of ending with a status that looks like it."""
        self.outputs = [
            Output(stream, copy_to, on_line, command.watch, command.whole_lines)
            for stream, copy_to, on_line in (
                (process.stdout, 1, command.on_line),
                (process.stderr, 2, command.on_error_line),
            )
            if stream is not None
        ]
        self._process = process

    @property
    def failed(self) -> bool:
        return bool(self.status) or (self.command.service and self.status is not None)

    def signal_leader(self, number: int) -> None:
        """Sends a signal to the child alone, for one that tells its own children what to do."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def tail(self) -> str:
        """The end of what a captured child wrote: the stream with a traceback, else stderr where it has any."""
        tails = [stream.text for stream in self.written() if stream.text]
        return max(tails, key=lambda tail: HEADER in tail, default="")

    def written(self) -> tuple[Written, Written]:
        """The ends of what a captured child wrote to stderr and to stdout, until it ended: what processes that it left
        behind write afterwards says nothing about it."""
        if self._written is None:
            found = {output.copy_to: self._end_of(output) for output in self.outputs}
            return found.get(2, Written("")), found.get(1, Written(""))
        return self._written

    def _end_of(self, output: Output) -> Written:
        text = bytes(output.tail).decode("utf-8", "replace")
        recent = bytes(output.tail[-output.recent :] if output.recent else b"").decode("utf-8", "replace")
        return Written(text, max(0.0, self.ended_at - output.last_at), recent)

    def reason(self) -> str:
        """Why it failed, for the failure file."""
        name, status = self.command.name, self.status or 0
        if self.command.service and status == 0:
            return f"{name} ended, though the other hosts still need it"
        if self.overdue:
            return f"{name} was stopped by SIGTERM, did not end in time, and was killed"
        return describe_child(name, status, *self.written(), self.how_it_ended())

    def how_it_ended(self) -> str:
        """`was killed by SIGSEGV (a crash in native code)`, of one that has ended."""
        status = self.status or 0
        if status == STOPPED_STATUS and not self.was_killed:
            return f"{'was stopped by SIGTERM, and ' if self.was_stopped else ''}ended with status {status}"
        return explain_status(status)

    def ended(self, wait_status: int) -> None:
        code = os.waitstatus_to_exitcode(wait_status)
        self.was_killed = code < 0
        self.status = code if code >= 0 else 128 - code
        self.ended_at = time.monotonic()
        self._written = self.written()
        self._process.returncode = code  # it is reaped here, and Popen must not try again


class Journal:
    """Where our children are written down for the one who ends them if we are killed (container/process/guardian.py):
    the pid
    of each, and the pipes that it writes to, for somebody has to hold their other ends."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None

    def write(self, child: Child) -> None:
        """Writes down a child, where anybody reads it."""
        if self.socket:
            words = [child.pid, *(output.copy_to for output in child.outputs)]
            pipes = [output.stream.fileno() for output in child.outputs]
            with contextlib.suppress(OSError):  # nobody reads any more, or it is full
                socket.send_fds(self.socket, [b"%r" % words], pipes)

    @staticmethod
    def read(source: socket.socket) -> Iterator[tuple[int, list[Output]]]:
        """All that was written, at the other end."""
        source.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                words, pipes, _, _ = socket.recv_fds(source, 4096, 2)
                if not words:
                    return
                pid, *copy_to = json.loads(words)
                yield pid, [Output(os.fdopen(pipe, "rb", 0), to) for pipe, to in zip(pipes, copy_to, strict=False)]


JOURNAL = Journal()


def spawn(command: Command) -> Child:
    """Starts a command. Raises JobError where it cannot be run at all."""
    pipe = subprocess.PIPE if command.capture or command.on_line else None
    error_pipe = subprocess.PIPE if command.capture or command.on_error_line else None
    try:
        process = subprocess.Popen(
            list(command.argv),
            env={**os.environ, **command.env},
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=error_pipe,
            start_new_session=True,
            # Safe because no other thread of ours runs: a lock that one held would stay locked in the child for ever.
            preexec_fn=functools.partial(_prepare_child, os.getpid()),
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL or half a surrogate in an argument
        why = _unpassable(command) or error
        raise JobError(f"cannot start {command.name} ({command.argv[0]}): {why}") from error
    child = Child(command, process)
    JOURNAL.write(child)
    return child


def _unpassable(command: Command) -> str:
    """Which argument or variable no process can be given, and why; empty where all can."""
    given = {f"its argument {number}": word for number, word in enumerate(command.argv)}
    for name, value in {**os.environ, **command.env}.items():
        if "=" in name:
            return f"the environment variable {short(name)} has '=' in its name"
        given[f"the environment variable {short(name)}"] = f"{name}={value}"
    for what, text in given.items():
        if "\0" in text:
            return f"{what} has a NUL: {short(text)}"
        try:
            length = len(os.fsencode(text))
        except UnicodeEncodeError as error:
            return f"{what} has what is no character: {error.object[error.start]!r}"
        if length > LONGEST_STRING:
            return f"{what} is too long: {length} bytes, and no more than {LONGEST_STRING} are possible"
    return ""


def short(text: str) -> str:
    """A text of unknown length, for a message."""
    return repr(text if len(text) < 100 else f"{text[:100]}...")


def descendants(pid: int) -> Iterator[int]:
    """The processes below `pid` that are not zombies, from /proc."""
    return (process.pid for process in tree.below(tree.snapshot(), [pid]) if process.pid != pid)


def end_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Has the kernel send us a signal when `parent`, our parent, ends. Does not return where it has ended already: the
    signal would never come, and who is our parent now may well be process 1 itself."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(STOPPED_STATUS)


def _prepare_child(parent: int) -> None:
    """In the child of the process `parent`, before exec."""
    # A supervisor that is killed outright must not leave a server behind.
    end_with_parent(parent)
    # A shell that starts us in the background lets us ignore these two, and an ignored signal is inherited: one
    # that reaches a server before it has set its handlers would be lost.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
