"""What a job leaves beside its model for people to look at: metrics.csv, TensorBoard events, a report.

The metrics are taken from the log of rank 0 as it passes (container/metrics.py), so that a handler and a script
that imports nothing of ours get the same.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from container.child import Command
from container.failure import JobError, JobStopped
from container.groups import team
from container.job import TrainingJob
from container.log import log
from container.metrics import Recorder
from container.paths import Paths
from container.process import Company, run
from training import tensorboard

REPORT_TIME_S = 60.0


def keeps_records(job: TrainingJob[Any]) -> bool:
    """Whether this is the host of rank 0, whose records are the job's."""
    return job.hosts.current == team(job)[0]


def observed(commands: Sequence[Command], paths: Paths) -> list[Command]:
    """The commands of rank 0's host, with what keeps the records of them. Where they are launchers, rank 0 is
    watched by its own small parent (training/rank.py)."""
    watched = [
        command
        if command.leads_ranks or command.service or not command.capture
        else dataclasses.replace(command, watch=Recorder(paths.metrics).note)
        for command in commands
    ]
    return [*watched, *follower(paths)]


def follower(paths: Paths) -> list[Command]:
    """What turns metrics into TensorBoard events while the job runs, where the library for it is installed."""
    if not tensorboard.is_installed():
        return []
    argv = [sys.executable, "-P", "-m", "training.tensorboard", str(paths.metrics), str(paths.tensorboard)]
    return [Command(argv, "tensorboard", background=True)]


def report(job: TrainingJob[Any], status: int, company: Company | None = None) -> None:
    """Writes the report, in a process of its own; that this fails is no failure of the job. While it takes its time,
    the other hosts of `company` go on hearing of this one."""
    command = Command([sys.executable, "-P", "-m", "training.report", str(status)], "the report", capture=True)
    try:
        if keeps_records(job) and has_something_to_show(job.paths):
            run([[command]], REPORT_TIME_S, company)
    except (JobError, JobStopped) as error:
        log.warning("there is no report: %s", error)


def has_something_to_show(paths: Paths) -> bool:
    """Whether the job has left metrics, pictures or a summary."""
    shown: list[Path] = [paths.metrics, paths.summary]
    return any(path.is_file() for path in shown) or any(paths.output_data.glob("*.png"))
