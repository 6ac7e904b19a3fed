"""Running hosts: their logs as one, a stop for all, and the status of each."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import select
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO

from byo_container.container.process.child import end_with_parent
from byo_container.container.process.supervisor import become_subreaper
from byo_container.container.process.tree import descendants
from local_test.hosts import Command, Host

STOP_GRACE_S = 120.0  # which the platform gives
START_GRACE_S = 5.0  # from a stop to the moment when a host must be able to hear of it
# A failed job ends on all hosts by itself, within ten seconds. Who has not heard of it is told so.
FAILURE_GRACE_S = 15.0
LONGEST_LINE = 64 * 1024
COLOURS = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94, 91)


class Stop:
    """Ctrl-C, SIGTERM and SIGHUP as a count: the first asks the hosts to end, a second one does not wait for it."""

    def __init__(self) -> None:
        self.count = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[Stop]:
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        old = {number: signal.signal(number, self._on_signal) for number in signals}
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


class Screen:
    """Where all logs are shown: whole lines, each begun with its host's name."""

    def __init__(self, names: Sequence[str], out: IO[bytes], coloured: bool) -> None:
        self.out = out
        self.is_open = True
        width = max(map(len, names))
        self._prefixes = {}
        for number, name in enumerate(names):
            text = f"{name:{width}} |"
            colour = COLOURS[number % len(COLOURS)]
            self._prefixes[name] = (f"\x1b[{colour}m{text}\x1b[0m " if coloured else f"{text} ").encode()

    def show(self, name: str, lines: Sequence[bytes]) -> None:
        if not self.is_open:
            return
        try:
            self.out.write(b"".join(self._prefixes[name] + line + b"\n" for line in lines))
            self.out.flush()
        except BrokenPipeError:
            self.is_open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())


class Lines:
    """One stream of a host's output. A progress bar that is drawn over and over makes a line each time."""

    def __init__(self, stream: IO[bytes], show: Callable[[Sequence[bytes]], None]) -> None:
        self.stream = stream
        self._show = show
        self._held = b""
        os.set_blocking(stream.fileno(), False)

    def read(self) -> bool:
        """Shows the lines that have come; False at the end of the stream."""
        try:
            data = os.read(self.stream.fileno(), 65536)
        except BlockingIOError:
            return True
        text = re.sub(rb"\r+\n", b"\n", self._held + data)
        text = re.sub(rb"(?<=[^\n\r])\r+(?=[^\r])", b"\n", text)
        *lines, self._held = re.sub(rb"\r+(?=[^\r])", b"", text).split(b"\n")
        if lines:
            self._show(lines)
        if len(self._held) > LONGEST_LINE:
            self._show_held()
        return bool(data)

    def finish(self) -> None:
        """Shows all that has come, also where a process that was left behind holds the stream open."""
        while select.select([self.stream], [], [], 0)[0] and self.read():
            pass
        self._show_held()

    def _show_held(self) -> None:
        if self._held:
            self._show([self._held.rstrip(b"\r")])
        self._held = b""


class Running:
    """A host that has been started."""

    def __init__(self, host: Host, screen: Screen | None) -> None:
        self.host = host
        self.told = False
        self.ended_at: float | None = None
        self.process = subprocess.Popen(
            host.command.argv,
            env={**os.environ, **host.command.env},
            cwd=host.root,
            stdin=subprocess.DEVNULL,
            # Two pipes: what comes by docker, or in pieces, would tear the lines of the other stream in one.
            stdout=subprocess.PIPE if screen else None,
            stderr=subprocess.PIPE if screen else None,
            start_new_session=True,  # Ctrl-C is ours alone
            preexec_fn=functools.partial(end_with_parent, os.getpid(), host.command.orphaned),
        )
        self.outputs = []
        if screen and self.process.stdout and self.process.stderr:
            show = functools.partial(screen.show, host.name)
            self.outputs = [Lines(self.process.stdout, show), Lines(self.process.stderr, show)]

    @property
    def runs(self) -> bool:
        return self.ended_at is None

    @property
    def status(self) -> int:
        """The exit status as a shell gives it."""
        code = self.process.returncode
        return 128 - code if code < 0 else code

    def look(self) -> None:
        """Takes down its end, and shows what it said last."""
        if self.runs and self.process.poll() is not None:
            self.ended_at = time.monotonic()
            for output in self.outputs:
                output.finish()


Terminate = Callable[[Command, "subprocess.Popen[bytes]"], bool]


def run(hosts: Sequence[Host], terminate: Terminate, stop: Stop, screen: Screen | None) -> list[Running]:
    """Runs all hosts to their ends, in the order of these ends. `terminate` sends SIGTERM to a host's process 1, and
    says whether that could hear it. Nothing that they started outlives this call."""
    become_subreaper()
    running: list[Running] = []
    try:
        with selectors.DefaultSelector() as selector:
            for host in hosts:
                running.append(Running(host, screen))
                for output in running[-1].outputs:
                    selector.register(output.stream, selectors.EVENT_READ, output)
            _wait(running, terminate, stop, screen, selector)
    finally:
        for each in running:
            if each.process.poll() is None:
                each.process.kill()
        deadline = time.monotonic() + 5
        while (left := list(descendants(os.getpid()))) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for each in running:
            each.process.wait()
            each.look()
    return sorted(running, key=lambda each: each.ended_at or 0.0)


def _wait(
    running: Sequence[Running],
    terminate: Terminate,
    stop: Stop,
    screen: Screen | None,
    selector: selectors.BaseSelector,
) -> None:
    stop_at: float | None = None
    while any(each.runs for each in running):
        for key, _ in selector.select(0.1) if selector.get_map() else _pause(0.1):
            if not key.data.read():
                selector.unregister(key.fileobj)
        for each in running:
            each.look()
        now = time.monotonic()
        if stop_at is None and _must_stop(running, stop, screen, now):
            stop_at = now
        if stop_at is not None:
            if stop.count > 1 or now > stop_at + STOP_GRACE_S + START_GRACE_S:
                return
            for each in running:
                if each.runs and not each.told:
                    each.told = terminate(each.host.command, each.process)
                    if not each.told and now > stop_at + START_GRACE_S:
                        each.process.kill()


def _pause(seconds: float) -> tuple[()]:
    time.sleep(seconds)
    return ()


def _must_stop(running: Sequence[Running], stop: Stop, screen: Screen | None, now: float) -> bool:
    if stop.count:
        tell("stopping: SIGTERM to every host, which may save and end; once more to kill them")
        return True
    if screen and not screen.is_open:
        return True
    failed = [each for each in running if not each.runs and each.status]
    if failed and now > min(each.ended_at or now for each in failed) + FAILURE_GRACE_S:
        tell(f"stopping the other hosts, which do not know that {failed[0].host.name} has failed")
        return True
    return False


def wants_colour(out: IO[bytes], environ: Mapping[str, str] = os.environ) -> bool:
    """On a terminal, and by FORCE_COLOR everywhere; NO_COLOR (https://no-color.org) forbids it."""
    if environ.get("NO_COLOR") or environ.get("FORCE_COLOR") == "0":
        return False
    return bool(environ.get("FORCE_COLOR")) or (out.isatty() and environ.get("TERM") != "dumb")


def tell(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"train_local.sh: {text}", file=sys.stderr, flush=True)
