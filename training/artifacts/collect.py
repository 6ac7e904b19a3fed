"""The artifacts of a job beside its model: the metric log (metrics.csv), TensorBoard events and an HTML report.

The metrics are read from the output of rank 0 as it is passed on (container/metrics.py), so that a script needs no
import of ours.
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

REPORT_TIMEOUT_S = 60.0


def is_host_of_rank_0(job: TrainingJob[Any]) -> bool:
    """Whether this is the host of rank 0, whose artifacts are the job's."""
    return job.hosts.current == team(job)[0]


def with_artifacts(commands: Sequence[Command], paths: Paths) -> list[Command]:
    """The commands of rank 0's host, with a recorder of metrics, and the TensorBoard writer. Where a command is a
    launcher, rank 0's own parent process has the recorder (training/processes/rank.py)."""
    recorded = [
        command
        if command.spared_on_stop or command.service or not command.capture
        else dataclasses.replace(command, watch=Recorder(paths.metrics).note)
        for command in commands
    ]
    return [*recorded, *tensorboard_writer(paths)]


def tensorboard_writer(paths: Paths) -> list[Command]:
    """The process that writes TensorBoard events while the job runs; none where tensorboardX is not installed."""
    if not tensorboard.is_installed():
        return []
    process = [sys.executable, "-P", "-m", "byo_container.training.artifacts.tensorboard"]
    return [Command([*process, str(paths.metrics), str(paths.tensorboard)], "tensorboard", background=True)]


def write_report(job: TrainingJob[Any], status: int, cluster: StopSource | None = None) -> None:
    """Writes the report, in a process of its own that has REPORT_TIMEOUT_S. A failure to do so does not fail the job.
    Meanwhile the `cluster` session goes on: the other hosts get heartbeats."""
    process = [sys.executable, "-P", "-m", "byo_container.training.artifacts.report"]
    command = Command([*process, str(status)], "the report", capture=True)
    try:
        if is_host_of_rank_0(job) and has_artifacts(job.paths):
            run_limited(command, REPORT_TIMEOUT_S, cluster)
    except Exception as error:  # whatever it is: the work is done
        log.warning("there is no report: %s", error)


def run_limited(command: Command, timeout_s: float, cluster: StopSource | None = None) -> None:
    """Runs `command` until it ends, `timeout_s` are over, SIGTERM comes, or the `cluster` stops the job. Then the
    supervisor kills it, and does not wait for a process that not even SIGKILL ends."""
    deadline = time.monotonic() + timeout_s
    with Supervisor() as supervisor:
        if cluster:
            cluster.attend(supervisor)
        child = supervisor.start(command)
        while child.status is None and not supervisor.stop_requested and not (cluster and cluster.grace_s is not None):
            if time.monotonic() >= deadline:
                log.warning("%s is not finished after %.0f s, and is given up", command.name, timeout_s)
                return
            supervisor.poll(min(1.0, deadline - time.monotonic()))


def has_artifacts(paths: Paths) -> bool:
    """Whether the job has left metrics, pictures or a summary, so that a report would not be empty."""
    files: list[Path] = [paths.metrics, paths.summary]
    return any(path.is_file() for path in files) or any(names_in(paths.output_data, ".png"))
