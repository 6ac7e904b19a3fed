"""The processes below one, as /proc lists them, and which of them get a signal that is meant for all.

A terminal sends Ctrl-C to a process group. In the same way, a signal is sent to the whole group of the command that was
started. Processes that it has put into other groups or sessions (`timeout`, `setsid`, `set -m` in a shell, a daemon)
would not get it, so those groups are signalled too, each process once. A second SIGTERM while a program saves does
harm, hence two exceptions:

- `timeout` and similar programs only wait for a program and pass the signal on, `su` and `runuser` with a SIGKILL two
  seconds later. The program gets the signal from us, and they end when it ends.
- A program that handles SIGTERM and keeps children in groups of their own gets the signal, and stops its children
  itself: torchrun passes the signal on; a script needs its helpers while it saves. The children are signalled when the
  program has ended, or after half of the time, in case it never stops them. Shells are no such programs: they handle a
  signal when the command in the foreground has ended.

Within a group all are signalled: the workers of PyTorch's DataLoader share the group of their script and get SIGTERM
with it, as with Ctrl-C. A script that saves on SIGTERM has to expect that they are gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FORWARDERS = frozenset({"timeout", "tini", "dumb-init", "su", "runuser"})
SHELLS = frozenset({"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh"})


@dataclass(frozen=True)
class Process:
    """A line of /proc/PID/stat (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html). `name` is cut after 15
    bytes; `started` is in clock ticks since the machine started."""

    pid: int
    parent: int
    group: int
    session: int
    name: str
    started: int
    is_zombie: bool = False


Processes = Mapping[int, Process]
"""By their pids."""


def snapshot() -> dict[int, Process]:
    """All processes that /proc shows."""
    processes = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                processes[int(entry)] = _parse(_read(f"/proc/{entry}/stat"))
    return processes


def _read(path: str) -> str:
    # A third of the time that Path.read_text takes, which counts where hundreds of processes run.
    stream = os.open(path, os.O_RDONLY)
    try:
        return os.read(stream, 4096).decode(errors="replace")
    finally:
        os.close(stream)


def _parse(line: str) -> Process:
    # The name stands in parentheses and may hold any character: what follows begins behind the last one.
    pid, _, rest = line.partition(" (")
    name, _, rest = rest.rpartition(") ")
    state, *numbers = rest.split()
    parent, group, session = map(int, numbers[:3])
    return Process(int(pid), parent, group, session, name, int(numbers[18]), state == "Z")


def now_in_ticks() -> int:
    """The time as Process.started gives it."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def below(processes: Processes, roots: Iterable[int]) -> Iterator[Process]:
    """The processes `roots` and all their descendants, without zombies."""
    for process, _ in _walk(processes, roots, stops_no_children):
        yield process


def descendants(pid: int) -> Iterator[int]:
    """The pids of all processes below `pid`, without zombies, read from /proc now."""
    return (process.pid for process in below(snapshot(), [pid]) if process.pid != pid)


def to_signal(processes: Processes, roots: Iterable[int], stops_children: Callable[[Process], bool]) -> list[Process]:
    """Which of the processes `roots` and of those below them get SIGTERM from us; see the top of this file.
    `stops_children` decides whether a process stops its children in other groups itself."""

    def stops_below(process: Process) -> bool:
        return not _forwards(process) and stops_children(process)

    return [
        process
        for process, groups in _walk(processes, roots, stops_below)
        if not _forwards(process) and groups <= {process.group}
    ]


def _forwards(process: Process) -> bool:
    return process.name in FORWARDERS


def _walk(
    processes: Processes, roots: Iterable[int], stops_children: Callable[[Process], bool]
) -> Iterator[tuple[Process, frozenset[int]]]:
    """Each process with the groups of those processes above it that stop their children themselves."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    nobody: frozenset[int] = frozenset()
    waiting = [(processes[pid], nobody) for pid in roots if pid in processes]
    while waiting:
        process, groups = waiting.pop()
        if not process.is_zombie:
            yield process, groups
        offspring = children.get(process.pid, ())
        if offspring and stops_children(process):
            groups |= {process.group}
        waiting += [(child, groups) for child in offspring]


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal; False where there is no such process."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        return bool(int(status.partition("\nSigCgt:")[2].split()[0], 16) >> (number - 1) & 1)
    return False


def stops_its_children(process: Process) -> bool:
    """Whether a process has a handler for SIGTERM, and is no shell."""
    with contextlib.suppress(OSError):
        # By its file: the name of a script's process is that of the script.
        executable = os.path.basename(os.readlink(f"/proc/{process.pid}/exe"))
        return executable not in SHELLS and handles(process.pid, signal.SIGTERM)
    return False


def stops_no_children(process: Process) -> bool:
    """For signals that are sent to every process, whatever its parent does."""
    return False


def send(number: int, chosen: Iterable[Process], processes: Processes) -> None:
    """Sends a signal to the processes `chosen`. A group of which all members are chosen gets it as a group, so that a
    process that is being forked at this moment is not missed."""
    groups: dict[int, set[int]] = {}
    for process in chosen:
        groups.setdefault(process.group, set()).add(process.pid)
    members: dict[int, set[int]] = {}
    for process in processes.values():
        if process.group in groups and not process.is_zombie:
            members.setdefault(process.group, set()).add(process.pid)
    for group, pids in groups.items():
        # Never to our own group, nor to that of the kernel (0).
        if members.get(group) == pids and group > 1:
            _kill(os.killpg, [group], number)
        else:
            _kill(os.kill, pids, number)


def _kill(kill: Callable[[int, int], None], ids: Collection[int], number: int) -> None:
    for each in ids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(each, number)
