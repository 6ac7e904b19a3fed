"""Starting, watching and, for certain, ending the processes that a benchmark needs."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 30.0  # seconds from SIGTERM to SIGKILL, the platform's own


class BenchmarkError(Exception):
    """A process that did not do what the benchmark needs; the message says which and why."""


@dataclass(frozen=True)
class Command:
    """One process to run: described here, run by `running`."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)  # added to this process's own

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.env}


@contextmanager
def running(command: Command, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a session of its own, its output in `log`; gone when the block is left."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.argv,
            env=command.environment(),
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, up to GRACE seconds of waiting, then SIGKILL for it and all that it started.

    Descendants are noted first: some servers put their workers in groups of their own, and an
    orphan no longer tells whose it was.
    """
    family = descendants(process.pid)
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def descendants(pid: int) -> list[int]:
    """Every living process below `pid`, parents before their children.

    What is in a session belongs to its leader, too: multi-model-server orphans its Java process.
    """
    below = defaultdict(list)
    for stat in sorted(Path("/proc").glob("[0-9]*/stat")):
        with suppress(OSError):
            _, parent, _, session, *_ = after_name(stat)
            child = int(stat.parent.name)
            below[int(parent)].append(child)
            below[int(session)].append(child)
    found = [pid]
    for one in found:  # the list grows while it is walked: breadth first
        found += [child for child in dict.fromkeys(below[one]) if child not in found]
    return found[1:]


def cpu_seconds(processes: Iterable[subprocess.Popen[bytes]]) -> float:
    """Processor time that these processes and all below them have used so far."""
    ticks = 0
    for process in processes:
        for pid in (process.pid, *descendants(process.pid)):
            with suppress(OSError):
                ticks += sum(map(int, after_name(Path(f"/proc/{pid}/stat"))[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def after_name(stat: Path) -> list[str]:
    """The fields of a /proc/PID/stat from the state on: the name before it may hold anything."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()


def wait_until(
    ready: Callable[[], bool],
    processes: Sequence[subprocess.Popen[bytes]],
    timeout: float,
    every: float = 0.1,
) -> None:
    """Ask `ready` every `every` seconds; BenchmarkError when a process ends or `timeout` seconds pass."""
    deadline = time.monotonic() + timeout
    while not ready():
        for process in processes:
            if process.poll() is not None:
                raise BenchmarkError(f"ended with status {process.returncode} before it was ready")
        if time.monotonic() > deadline:
            raise BenchmarkError(f"was not ready within {timeout:.0f} s")
        time.sleep(every)


def free_port() -> int:
    """A TCP port that nobody listens on just now.

    Below 30,000: the kernel hands higher ones to clients, and multi-model-server refuses those
    above 49,151.
    """
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise BenchmarkError("no free port between 20,000 and 30,000")
