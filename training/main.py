"""`train`: reads the job, finds what to run, runs it, and tells the platform how it went.

    train            trains what /opt/ml/input/config describes, and leaves it in /opt/ml/model
    train --help     this text

The root /opt/ml is moved by SAGEMAKER_BASE_DIR. Status 0 only when the training code finished; else
output/failure says what was wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from byo_container.container import discovery, log, manifest
from byo_container.container import hyperparameters as hp
from byo_container.container.environment import count_accelerators
from byo_container.container.failure import JobError, JobStopped, describe, report, write_failure
from byo_container.container.files.reading import open_regular
from byo_container.container.job import TrainingJob, read_job
from byo_container.container.paths import Paths
from byo_container.container.process.child import Child, Command
from byo_container.container.process.run import Stage, run
from byo_container.container.process.stop import STOP_GRACE_S
from byo_container.container.process.supervisor import Supervisor
from byo_container.training import notices, script
from byo_container.training.artifacts import collect
from byo_container.training.cluster.listener import raise_file_limit
from byo_container.training.cluster.protocol import HostResult
from byo_container.training.cluster.session import ClusterSession
from byo_container.training.launchers import HostContext, Launcher
from byo_container.training.launchers.choose import choose, choose_for_handler, reject_undistributed_handler
from byo_container.training.launchers.mpi import ssh_port
from byo_container.training.launchers.network_interface import find_interface, free_port
from byo_container.training.ports import Ports
from byo_container.training.processes.rank import Ranks

MOST_FAILURE_BYTES = 64 * 1024  # which the other hosts are told, too; the platform reads the first 1,024


def main(arguments: Sequence[str] = ()) -> int:
    """Runs one job and returns the exit status."""
    log.configure(patient=False)
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    paths = Paths.from_environment()
    # Until run() waits for children. After that nothing is left to stop: SIGTERM is ignored to the end of this process.
    signal.signal(signal.SIGTERM, _raise_stopped)
    try:
        prepare_output(paths)
        if arguments:
            raise JobError(f"train takes no arguments, and was given {shlex.join(arguments)}; see train --help")
        job = read_job(paths)
        with temporary_folder() as scratch:
            return train(job, Path(scratch))
    except (Exception, JobStopped) as error:
        return _report(paths, error).status


def train(job: TrainingJob[dict[str, Any]], scratch: Path) -> int:
    """This host's part of a job, and the status of all hosts."""
    grace_s, reference = stop_grace_s(), None
    if len(job.hosts.all) > 1:
        raise_file_limit()
    notices.warn(job)
    cluster = ClusterSession.of(job, Ranks(scratch), grace_s)
    before = manifest.changes(job.paths.model)
    try:
        stages, reference = plan(job, cluster)
        result = conclude(run(stages, grace_s, cluster), cluster.ranks, job.paths)
    except (Exception, JobStopped) as error:
        result = _report(job.paths, error)
    return finish(job, cluster, result, reference, before)


def finish(
    job: TrainingJob[Any],
    cluster: ClusterSession,
    result: HostResult,
    reference: discovery.HandlerReference | None,
    before: Mapping[str, int],
) -> int:
    """Does what is left to do after the training, and returns the status of all hosts. Where this goes wrong after a
    failure, the failure remains the reason. `before` is what `manifest.changes` gave before the training."""
    status = result.status
    try:
        if status == 0:  # all hosts end together, the report written; after a failure they must not wait for it
            collect.report(job, 0, cluster)
        job_result = cluster.leave(result)
        status = job_result.status
        if status and not cluster.is_single:  # there `result` is written already
            write_failure(job.paths.failure, job_result.text)
        if job.hosts.is_master and (status == 0 or manifest.changes(job.paths.model) != before):
            keep(reference, job.paths, status)
        if status:
            collect.report(job, status)
    except (Exception, JobStopped) as error:
        if status == 0:
            raise
        log.log.warning("after the failure, this went wrong too: %s: %s", type(error).__name__, error)
    if status == 0:
        with contextlib.suppress(OSError):  # a full disk takes nothing from the model
            job.paths.success.touch()
    return status


def plan(
    job: TrainingJob[dict[str, Any]], cluster: ClusterSession
) -> tuple[list[Stage], discovery.HandlerReference | None]:
    """What is to be run, stage after stage, for the user's script or for a handler, which is given back too.
    Raises JobError."""
    launcher = choose(job)
    found = script.find(job)
    if found:
        *before, program = script.prepare(found, job)
        return [*([command] for command in before), *start(job, program, launcher, cluster)], None
    reference = discovery.find_for_training(job)
    launcher = choose_for_handler(job, launcher, discovery.launcher_of(reference.target))
    reject_undistributed_handler(job, launcher, reference.target)
    log.log.info("training %s, which %s asks for", reference.target, reference.source)
    # -P: `training` must be ours, also where the current folder holds another one.
    words = ["-P", "-m", "byo_container.training.processes.run_handler", reference.target, reference.source]
    program = Command([sys.executable, *words], reference.target)
    return start(job, program, launcher, cluster), reference


def start(job: TrainingJob[Any], program: Command, launcher: Launcher, cluster: ClusterSession) -> list[Stage]:
    """The stages from here to the program's end: what the launcher prepares, and its commands as soon as all hosts
    have come as far. Raises JobError."""
    ports = cluster.settings.ports
    if cluster.is_single:
        ports = Ports.with_master(free_port(ports.master))
    context = HostContext(
        scratch=cluster.ranks.scratch,
        ports=dataclasses.replace(ports, ssh=ssh_port(ports.ssh)),
        accelerators=count_accelerators(job.hosts.instance_type) if launcher.distributes else 0,
        has_mpi4py=bool(importlib.util.find_spec("mpi4py")),
    )

    def launch(supervisor: Supervisor) -> list[Command]:
        payloads = cluster.rendezvous(launcher.payload(context), supervisor)
        if payloads is None:
            return []
        here = dataclasses.replace(context, interface=find_interface(job.hosts))
        launcher.receive(job, program, here, payloads)
        commands = launcher.launch(job, program, here)
        if all(command.service for command in commands):
            cluster.services_only()
        return collect.observed(commands, job.paths) if collect.keeps_records(job) else commands

    return [*([command] for command in launcher.prepare(job, context)), launch]


def conclude(children: list[Child], ranks: Ranks, paths: Paths) -> HostResult:
    """How this host ended, and why: by what a rank reported, or else by the first child that failed. The reason is
    written to the failure file too."""
    failed = ranks.failure()
    if failed:
        write_failure(paths.failure, failed.text)
        return HostResult(failed.status, failed.text)
    for child in sorted(children, key=lambda child: child.ended_at):
        if child.failed and child.status is not None:
            # A handler's process knows its exception best and has written the file itself, if the disk let it.
            text = _read_failure(paths.failure)
            if text:
                name, died = child.command.name, child.how_it_ended()
                log.log.error("failed: %s %s; its own account is in %s", name, died, paths.failure)
            else:
                text = child.reason()
                write_failure(paths.failure, text)
            return HostResult(child.status or 1, text)
    return HostResult(0)


def _read_failure(path: Path) -> str:
    """What a handler's process has left, or a script; empty where they could not, or where it is no file."""
    try:
        with open_regular(path) as stream:
            return stream.read(MOST_FAILURE_BYTES).decode("utf-8", "backslashreplace").strip()
    except OSError:
        return ""


def keep(reference: discovery.HandlerReference | None, paths: Paths, status: int) -> None:
    """Leaves beside the model what `serve` needs to find its code. That this fails does not fail a job."""
    try:
        if reference or script.brings_inference(paths):
            manifest.keep(reference.target if reference else None, paths)
    except Exception as error:
        log.log.warning("the code is not kept beside the model: %s: %s", type(error).__name__, error)
    log.log.info("%s; the model is in %s", "not finished" if status else "finished", paths.model)


def prepare_output(paths: Paths) -> None:
    """Makes the folders that the job writes to, and removes what an older run has told. Raises JobError."""
    for folder in (paths.output, paths.model, paths.output_data):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise JobError(f"{folder} cannot be written to: {error.strerror}; mount it writable") from None
    for path in (paths.failure, paths.success, paths.metrics, paths.summary, paths.report):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise JobError(f"{path}, of an older run, cannot be removed: {error.strerror}; remove it") from None


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for this job's own files, removed after it. Raises JobError."""
    try:
        return tempfile.TemporaryDirectory(prefix="train-")
    except OSError as error:
        raise JobError(
            f"there is no folder to write temporary files to ({error.strerror}); mount one at /tmp, as by "
            "`docker run --tmpfs /tmp`, or let TMPDIR name one"
        ) from None


def stop_grace_s() -> float:
    """How long training code may save after SIGTERM; TRAINING_STOP_TIMEOUT shortens it."""
    text = os.environ.get("TRAINING_STOP_TIMEOUT") or str(STOP_GRACE_S)
    try:
        return float(hp.convert(text, Annotated[float, hp.Range(0)]))
    except ValueError as error:
        raise JobError(f"the environment variable TRAINING_STOP_TIMEOUT is {text!r}; it must be {error}") from None


def _report(paths: Paths, error: BaseException) -> HostResult:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it must not cut the failure file short
    return HostResult(report(paths.failure, error), describe(error))


def _raise_stopped(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt what this one causes
    raise JobStopped("before training began")
