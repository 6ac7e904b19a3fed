"""Running commands to their end, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from byo_container.container.failure import JobStopped
from byo_container.container.process.child import Child, Command
from byo_container.container.process.stop import stop
from byo_container.container.process.supervisor import Supervisor


class StopSource(Protocol):
    """What can end the work here from outside, besides a signal."""

    grace_s: float | None
    """None while the job may go on; otherwise the seconds that local processes have to exit."""

    def attend(self, supervisor: Supervisor) -> None:
        """Registers what has to be done while `supervisor` waits, see `Supervisor.on_poll` and `watch`."""


Stage = Sequence[Command] | Callable[[Supervisor], Sequence[Command]]
"""Commands that run side by side; or a function that waits until it knows them, and returns none when the work has
ended meanwhile."""


def run(stages: Sequence[Stage], grace_s: float, stop_source: StopSource | None = None) -> list[Child]:
    """Runs one stage after the other, the commands of a stage side by side, until all have ended or one has failed.
    Returns the children of the last stage that ran, with their statuses, without the services that ran to the end.

    The first failure, here or of the `stop_source`, ends the others. SIGTERM is passed on to all processes; those that
    still run `grace_s` seconds later are killed. Nothing that they started outlives this call. Raises JobStopped where
    SIGTERM came between two stages, so that the work is not done. A SIGTERM after this call is ignored: the result
    cannot change any more, and only has to be written.
    """
    children: list[Child] = []
    with Supervisor(ignore_stop_afterwards=True) as supervisor:
        if stop_source:
            stop_source.attend(supervisor)
            supervisor.has_to_end = lambda: stop_source.grace_s is not None
        for stage in stages:
            commands = stage(supervisor) if callable(stage) else stage
            if supervisor.stop_requested:
                raise JobStopped(f"before {commands[0].name if commands else 'it'} began")
            started = [supervisor.start(command) for command in commands]
            children = [child for child in started if not child.command.background]
            _wait(supervisor, children, grace_s, stop_source)
            over = supervisor.has_to_end()
            children = [
                child for child in children if child.status is not None and not (over and child.command.service)
            ]
            if over or any(child.failed for child in children):
                break
        if supervisor.has_to_end():
            supervisor.end_all(grace_s=0.5)  # all have got SIGTERM before
    return children


def _wait(supervisor: Supervisor, children: list[Child], grace_s: float, stop_source: StopSource | None) -> None:
    """Waits until all children but the services have ended; for services alone, until the `stop_source` ends them."""
    work = [child for child in children if not child.command.service]
    while any(child.status is None for child in work or children):
        supervisor.poll(1.0)
        if stop_source and stop_source.grace_s is not None:
            stop(supervisor, children, stop_source.grace_s)
        elif any(child.failed for child in children):
            stop(supervisor, children, grace_s)
        elif supervisor.stop_requested:
            _stop_work(supervisor, work, grace_s)
    if (
        supervisor.stop_requested and not supervisor.has_to_end()
    ):  # a child may have ended before, and left processes that would save
        _stop_work(supervisor, work, grace_s)


def _stop_work(supervisor: Supervisor, work: list[Child], grace_s: float) -> None:
    """Stops all children but the services and those that are `spared_on_stop`."""
    spared = [child for child in work if child.command.spared_on_stop]
    stop(supervisor, work, grace_s, spared=spared, strays=bool(work) and not spared)
