"""Stopping children with everything that they have started: SIGTERM, time to save, SIGKILL."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from byo_container.container.env_reader import EnvReader
from byo_container.container.log import log
from byo_container.container.process import tree
from byo_container.container.process.child import Child
from byo_container.container.process.supervisor import KILL_TIME_S, Supervisor

# The platform stops a job by `docker stop -t 120`; the last two seconds are ours, to write the failure file.
STOP_GRACE_S = 118.0
STOP_GRACE_VARIABLE = "TRAINING_STOP_TIMEOUT"
REFRESH_S = 0.1  # between two listings of the processes that are left


def stop_grace_s(environ: Mapping[str, str] = os.environ) -> float:
    """How many seconds processes get to save after SIGTERM; TRAINING_STOP_TIMEOUT shortens it. Raises JobError."""
    return EnvReader(environ).number(STOP_GRACE_VARIABLE, STOP_GRACE_S, low=0)


def stop(
    supervisor: Supervisor,
    children: Sequence[Child],
    grace_s: float,
    spared: Sequence[Child] = (),
    strays: bool = False,
    signalled: Iterable[int] = (),
) -> None:
    """Sends SIGTERM to all processes of `children` except those `spared`, and SIGKILL after `grace_s`.

    A shell ends on SIGTERM at once while the program that it started still saves: so this waits until everything that
    a child started has ended. Processes whose parent has ended have become ours; with `strays` those that have left the
    session of their child are stopped too. `signalled` are pids that have got SIGTERM already.
    """
    running = [child for child in children if child.status is None]
    for child in running:
        log.info("sending SIGTERM to %s; it has %.0f s to save and end", child.command.name, grace_s)
        child.was_stopped = True
    stopping = Termination(supervisor, {child.pid for child in running}, {child.pid for child in spared}, strays)
    if stopping.terminate(grace_s, set(signalled)):
        late = [child for child in running if child.status is None or child.pid in stopping.sessions_alive()]
        names = ", ".join(child.command.name for child in late) or "a process that was left behind"
        log.warning("%s still runs after %.0f s: SIGKILL", names, grace_s)
        for child in late:
            child.overdue = True
        stopping.kill()


@dataclass
class Termination:
    """The processes of some children that are being stopped. `leaders` are the children's pids, which are the ids of
    their sessions too."""

    supervisor: Supervisor
    leaders: set[int]
    spared: set[int]
    strays: bool

    def refresh(self) -> bool:
        """Lists the processes that are left. Returns whether there are any."""
        self.processes, own = tree.snapshot(), os.getpid()
        self.roots = [
            process.pid for process in self.processes.values() if process.parent == own and self._includes(process)
        ]
        return bool(self.roots)

    def _includes(self, process: tree.Process) -> bool:
        is_stray = self.strays and process.pid not in self.supervisor.children
        return not process.is_zombie and (is_stray or process.session in self.leaders)

    def sessions_alive(self) -> set[int]:
        """The sessions of the processes that are left."""
        return {process.session for process in tree.below(self.processes, self.roots)}

    def terminate(self, grace_s: float, signalled: set[int]) -> bool:
        """Sends SIGTERM once to each process that is not in `signalled`. Returns whether any are left after
        `grace_s`."""
        began, began_in_ticks, elapsed_s = time.monotonic(), tree.now_in_ticks(), 0.0
        while self.refresh():
            # Later, children are no longer left to a parent that may wait for them in vain.
            stops_children = tree.stops_its_children if elapsed_s < grace_s / 2 else tree.stops_no_children
            roots = [pid for pid in self.roots if pid not in self.spared]
            due = tree.to_signal(self.processes, roots, stops_children)
            # A process that was started later is a part of the saving.
            due = [process for process in due if process.pid not in signalled and process.started <= began_in_ticks]
            tree.send(signal.SIGTERM, due, self.processes)
            signalled.update(process.pid for process in due)
            elapsed_s = time.monotonic() - began
            if elapsed_s >= grace_s:
                return True
            self.supervisor.poll_for(min(REFRESH_S, grace_s - elapsed_s))
        return False

    def kill(self) -> None:
        """Sends SIGKILL until nothing is left, or for KILL_TIME_S."""
        deadline = time.monotonic() + KILL_TIME_S
        while self.refresh() and time.monotonic() < deadline:
            tree.send(signal.SIGKILL, tree.below(self.processes, self.roots), self.processes)
            self.supervisor.poll(0.05)
