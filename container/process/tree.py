"""The processes below one, as /proc shows them, and which of them a signal for all has to be sent to.

A terminal sends Ctrl-C to a process group, and so do we: to all in the group of the command that was started. What it
has put into other groups or sessions (`timeout`, `setsid`, `set -m` in a shell, a daemon) would never hear of it, so
those groups are signalled too, each process once. There are two exceptions, because a second SIGTERM in the midst of
saving does harm:

- `timeout` and its like do nothing but wait for a program and pass the signal on, `su` and `runuser` with a SIGKILL
  two seconds later. Their program gets the signal from us, and they end when it ends.
- A program that handles SIGTERM and keeps children in groups of their own is asked to stop by that signal, and its
  children are its own affair: torchrun passes the signal on; a script wants its helpers while it saves. They are
  signalled when it has ended, or after half of the time, in case it waits for them in vain. Shells are no such
  programs: they handle a signal when the command in the foreground has ended.

Members of one group are not told apart: the workers of PyTorch's DataLoader share the group of their script and get
SIGTERM with it, as they would by Ctrl-C. A script that saves on SIGTERM has to expect that they are gone.
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
    """All processes that we can see."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                found[int(entry)] = _parse(_read(f"/proc/{entry}/stat"))
    return found


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
    """The processes `roots` and all their descendants, zombies left out."""
    for process, _ in _walk(processes, roots, nobody_answers):
        yield process


def to_signal(processes: Processes, roots: Iterable[int], answers: Callable[[Process], bool]) -> list[Process]:
    """Those of the processes `roots` and below them that have to get SIGTERM from us; see above. `answers` says whether
    children in other groups may be left to a process."""
    return [
        process
        for process, groups in _walk(processes, roots, lambda process: not _forwards(process) and answers(process))
        if not _forwards(process) and groups <= {process.group}
    ]


def _forwards(process: Process) -> bool:
    return process.name in FORWARDERS


def _walk(
    processes: Processes, roots: Iterable[int], answers: Callable[[Process], bool]
) -> Iterator[tuple[Process, frozenset[int]]]:
    """Each process with the groups of those above it that answer for what is below them."""
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
        if offspring and answers(process):
            groups |= {process.group}
        waiting += [(child, groups) for child in offspring]


def answers_for_children(process: Process) -> bool:
    """Whether a process has a handler for SIGTERM, and is no shell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        folder = Path(f"/proc/{process.pid}")
        handled = folder.joinpath("status").read_text(errors="replace").partition("\nSigCgt:")[2].split()[0]
        if int(handled, 16) >> (signal.SIGTERM - 1) & 1:
            # Not by its name, which is that of the script.
            return os.path.basename(os.readlink(folder / "exe")) not in SHELLS
    return False


def nobody_answers(process: Process) -> bool:
    """For those who are to be signalled whoever their parent is."""
    return False


def send(number: int, chosen: Iterable[Process], processes: Processes) -> None:
    """Sends a signal to the processes `chosen`. A group of which all are chosen gets it as a group, so that none is
    missed which is being forked at this moment."""
    groups: dict[int, set[int]] = {}
    for process in chosen:
        groups.setdefault(process.group, set()).add(process.pid)
    members: dict[int, set[int]] = {}
    for process in processes.values():
        if process.group in groups and not process.is_zombie:
            members.setdefault(process.group, set()).add(process.pid)
    for group, pids in groups.items():
        # Of us too, or of the kernel (0): never.
        if members.get(group) == pids and group > 1:
            _kill(os.killpg, [group], number)
        else:
            _kill(os.kill, pids, number)


def _kill(kill: Callable[[int, int], None], ids: Collection[int], number: int) -> None:
    for each in ids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(each, number)
