"""Running hosts to their ends, and stopping them all."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from byo_container.container.process.child import Child
from byo_container.container.process.supervisor import Supervisor
from local_test.hosts import Host
from local_test.screen import Screen, print_message

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_GRACE_S = 120.0  # as on the platform
START_GRACE_S = 5.0  # from a stop to the moment when a host must have a handler for SIGTERM
# A failed job ends on all hosts by itself, within ten seconds. Hosts that do not know of the failure are stopped.
FAILURE_GRACE_S = 15.0
KILLED_STATUS = 128 + signal.SIGKILL

Terminate = Callable[[Child], bool]
"""See hosts.Backend.terminate."""


@dataclass
class RunningHost:
    """A host that has been started."""

    host: Host
    child: Child
    terminated: bool = False
    """Whether it has got SIGTERM."""

    @property
    def runs(self) -> bool:
        return self.child.status is None

    @property
    def status(self) -> int:
        """The exit status as a shell gives it."""
        return KILLED_STATUS if self.child.status is None else self.child.status


def run(
    hosts: Sequence[Host], terminate: Terminate, supervisor: Supervisor, screen: Screen | None
) -> list[RunningHost]:
    """Runs all hosts to their ends, and returns them in the order of these ends. The first stop signal asks the hosts
    to end, a second one kills them. Nothing that they started outlives this call. Raises JobError where a host cannot
    be started."""
    running: list[RunningHost] = []
    try:
        for host in hosts:
            running.append(_start(host, supervisor, screen))
        _wait(running, terminate, supervisor, screen)
    finally:
        supervisor.end_all(grace_s=0)
        supervisor.drain()
    return sorted(running, key=lambda each: each.child.ended_at)


def _start(host: Host, supervisor: Supervisor, screen: Screen | None) -> RunningHost:
    command = dataclasses.replace(host.command, cwd=host.root)
    if screen is None:
        return RunningHost(host, supervisor.start(command))
    child = supervisor.start(dataclasses.replace(command, capture=True, whole_lines=True))
    for output in child.outputs:
        output.sink = screen.stream(host.name).write
    return RunningHost(host, child)


def _wait(running: Sequence[RunningHost], terminate: Terminate, supervisor: Supervisor, screen: Screen | None) -> None:
    """Waits until all hosts have ended, or have to be killed."""
    stop_at: float | None = None
    while any(each.runs for each in running):
        supervisor.poll(0.1)
        now = time.monotonic()
        if stop_at is None and _must_stop(running, supervisor, screen, now):
            stop_at = now
        if stop_at is None:
            continue
        if supervisor.stop_requests > 1 or now > stop_at + STOP_GRACE_S + START_GRACE_S:
            return
        for each in running:
            if each.runs and not each.terminated:
                each.terminated = terminate(each.child)
                if not each.terminated and now > stop_at + START_GRACE_S:
                    each.child.signal_leader(signal.SIGKILL)


def _must_stop(running: Sequence[RunningHost], supervisor: Supervisor, screen: Screen | None, now: float) -> bool:
    if supervisor.stop_requested:
        print_message("stopping: SIGTERM to every host, which may save and end; once more to kill them")
        return True
    if screen and not screen.is_open:
        return True
    failed = [each for each in running if not each.runs and each.status]
    if failed and now > min(each.child.ended_at for each in failed) + FAILURE_GRACE_S:
        print_message(f"stopping the other hosts, which do not know that {failed[0].host.name} has failed")
        return True
    return False
