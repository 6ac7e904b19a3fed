"""What a job leaves beside its model for people to look at: metrics.csv, TensorBoard events, a report.

The metrics are taken from the log of rank 0 as it passes (container/metrics.py), so that a handler and a script
that imports nothing of ours get the same.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byo_container.container.files.reading import names_in
from byo_container.container.instance_groups import team
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.metrics import Recorder
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.container.process.run import StopSource
from byo_container.container.process.supervisor import Supervisor
from byo_container.training.artifacts import tensorboard

REPORT_TIME_S = 60.0


def keeps_records(job: TrainingJob[Any]) -> bool:
    """Whether this is the host of rank 0, whose records are the job's."""
    return job.hosts.current == team(job)[0]


def observed(commands: Sequence[Command], paths: Paths) -> list[Command]:
    """The commands of rank 0's host, with what keeps the records of them. Where they are launchers, rank 0 is
    watched by its own small parent (training/processes/rank.py)."""
    watched = [
        command
        if command.spared_on_stop or command.service or not command.capture
        else dataclasses.replace(command, watch=Recorder(paths.metrics).note)
        for command in commands
    ]
    return [*watched, *follower(paths)]


def follower(paths: Paths) -> list[Command]:
    """What turns metrics into TensorBoard events while the job runs, where the library for it is installed."""
    if not tensorboard.is_installed():
        return []
    argv = [
        sys.executable,
        "-P",
        "-m",
        "byo_container.training.artifacts.tensorboard",
        str(paths.metrics),
        str(paths.tensorboard),
    ]
    return [Command(argv, "tensorboard", background=True)]


def report(job: TrainingJob[Any], status: int, company: StopSource | None = None) -> None:
    """Writes the report, in a process of its own that gets REPORT_TIME_S; that this fails is no failure of the job.
    While it takes its time, the other hosts of `company` go on hearing of this one."""
    command = Command(
        [sys.executable, "-P", "-m", "byo_container.training.artifacts.report", str(status)], "the report", capture=True
    )
    try:
        if keeps_records(job) and has_something_to_show(job.paths):
            run_limited(command, REPORT_TIME_S, company)
    except Exception as error:  # whatever it is: the work is done
        log.warning("there is no report: %s", error)


def run_limited(command: Command, limit_s: float, company: StopSource | None = None) -> None:
    """Runs `command` until it ends, `limit_s` is over, SIGTERM comes, or the company ends. Then it is ended like all
    children of a supervisor, which does not wait for one that not even SIGKILL ends."""
    deadline = time.monotonic() + limit_s
    with Supervisor() as supervisor:
        if company:
            company.attend(supervisor)
        child = supervisor.start(command)
        while child.status is None and not supervisor.stop_requested and not (company and company.grace_s is not None):
            if time.monotonic() >= deadline:
                log.warning("%s is not finished after %.0f s, and is given up", command.name, limit_s)
                return
            supervisor.poll(min(1.0, deadline - time.monotonic()))


def has_something_to_show(paths: Paths) -> bool:
    """Whether the job has left metrics, pictures or a summary."""
    shown: list[Path] = [paths.metrics, paths.summary]
    return any(path.is_file() for path in shown) or any(names_in(paths.output_data, ".png"))
