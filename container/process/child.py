"""A command, and the process that runs it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from byo_container.container.failure import STOPPED_STATUS, JobError, OutputTail, describe_child, explain_status
from byo_container.container.process.arguments import short, unpassable
from byo_container.container.process.guardian_link import guardian_link
from byo_container.container.process.output import Output
from byo_container.container.tracebacks import HEADER

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Command:
    """What is to be run. `env` is added to our own environment; `capture` keeps the end of the output. `on_error_line`
    gets the lines that it writes to stderr, which are then not copied to our own stderr. A `service` runs for the sake
    of other commands, here or on other machines, and is ended when they have ended; it fails if it ends before them."""

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
    """Whether captured output is passed on in whole lines, because other processes write to the same place."""
    spared_on_stop: bool = False
    """Whether it gets no SIGTERM when the work is stopped. The processes that it has started get the signal in another
    way, and it ends when they have ended."""
    watch: Callable[[bytes], None] | None = None
    """Gets the captured lines as they are passed on: whole ones, many at once; b"" where a stream ends."""
    background: bool = False
    """Whether it only runs beside the others and is ended with them, and its status does not matter."""
    needed_by: str = "others"
    """The commands that need this `service`, for the error where it ends too early."""
    orphan_signal: signal.Signals = signal.SIGTERM
    """The signal that it gets where the process that started it is killed."""


class Child:
    """A running command; the leader of a session and process group of its own."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes]) -> None:
        self.command = command
        self.pid = process.pid
        self.status: int | None = None
        """The exit status as a shell gives it (128 + N for signal N); None while it runs."""
        self._output_tails: tuple[OutputTail, OutputTail] | None = None
        self.ended_at = math.inf
        self.overdue = False
        """Whether it was killed because it did not end in time after SIGTERM."""
        self.was_stopped = False
        """Whether it was sent SIGTERM."""
        self.was_killed = False
        """Whether a signal ended it. A status above 128 alone does not say so."""
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
        """Sends a signal to the child alone, which passes it on to its own children if need be."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def tail(self) -> str:
        """The end of a captured child's output: of the stream with a traceback, else of stderr if it is not empty."""
        tails = [stream.text for stream in self.output_tails() if stream.text]
        return max(tails, key=lambda tail: HEADER in tail, default="")

    def output_tails(self) -> tuple[OutputTail, OutputTail]:
        """The ends of a captured child's stderr and stdout until it ended. What processes that it left behind write
        afterwards is not part of it."""
        if self._output_tails is None:
            ends = {output.copy_to: self._end_of(output) for output in self.outputs}
            return ends.get(2, OutputTail("")), ends.get(1, OutputTail(""))
        return self._output_tails

    def _end_of(self, output: Output) -> OutputTail:
        text = bytes(output.tail).decode("utf-8", "replace")
        recent = bytes(output.tail[-output.recent :] if output.recent else b"").decode("utf-8", "replace")
        return OutputTail(text, max(0.0, self.ended_at - output.last_at), recent)

    def reason(self) -> str:
        """Why it failed, as the text of a failure report."""
        name, status = self.command.name, self.status or 0
        if self.command.service and status == 0:
            return f"{name} ended, though {self.command.needed_by} still need it"
        if self.overdue:
            return f"{name} was stopped by SIGTERM, did not end in time, and was killed"
        return describe_child(name, status, *self.output_tails(), self.how_it_ended())

    def how_it_ended(self) -> str:
        """The end of a child that has ended, such as `was killed by SIGSEGV (a crash in native code)`."""
        status = self.status or 0
        if status == STOPPED_STATUS and not self.was_killed:
            return f"{'was stopped by SIGTERM, and ' if self.was_stopped else ''}ended with status {status}"
        return explain_status(status)

    def ended(self, wait_status: int) -> None:
        code = os.waitstatus_to_exitcode(wait_status)
        self.was_killed = code < 0
        self.status = code if code >= 0 else 128 - code
        self.ended_at = time.monotonic()
        self._output_tails = self.output_tails()
        self._process.returncode = code  # it is reaped by the supervisor, and Popen must not try again


def spawn(command: Command) -> Child:
    """Starts a command. Raises JobError where it cannot be started."""
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
            preexec_fn=functools.partial(_prepare_child, os.getpid(), command.orphan_signal),
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL or half a surrogate in an argument
        why = _unpassable(command) or error
        raise JobError(f"cannot start {command.name} ({command.argv[0]}): {why}") from error
    child = Child(command, process)
    guardian_link.announce(child.pid, child.outputs)
    return child


def _unpassable(command: Command) -> str:
    """Which argument or variable of a command no process can be given, and why; empty where all can."""
    texts = {f"its argument {number}": argument for number, argument in enumerate(command.argv)}
    for name, value in {**os.environ, **command.env}.items():
        if "=" in name:
            return f"the environment variable {short(name)} has '=' in its name"
        texts[f"the environment variable {short(name)}"] = f"{name}={value}"
    return next((f"{what} {why}" for what, text in texts.items() if (why := unpassable(text))), "")


def end_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Has the kernel send a signal to this process when its parent, `parent`, ends. Does not return where that has
    ended already: the signal would never come, and the parent may be process 1 by now."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(STOPPED_STATUS)


def _prepare_child(parent: int, orphan_signal: signal.Signals) -> None:
    """Runs in the child of the process `parent`, before exec."""
    # A supervisor that is killed outright must not leave a server behind.
    end_with_parent(parent, orphan_signal)
    # A shell that starts us in the background has these two ignored, and an ignored signal is inherited: one that
    # reaches a server before it has set its handlers would be lost.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
