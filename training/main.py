"""`train`: reads the job, finds what to run, runs it, and tells the platform how it went.

    train            trains what /opt/ml/input/config describes, and leaves it in /opt/ml/model
    train --help     this text

The root /opt/ml is moved by SAGEMAKER_BASE_DIR. Status 0 only when the training code finished; else
output/failure says what was wrong.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from byo_container.container import manifest
from byo_container.container.failure import JobError, JobStopped, describe, report, write_failure
from byo_container.container.job import TrainingJob, read_job
from byo_container.container.log import configure, log
from byo_container.container.paths import Paths
from byo_container.container.process.run import run
from byo_container.container.process.stop import stop_grace_s
from byo_container.training import notices, script
from byo_container.training.artifacts import collect
from byo_container.training.cluster.listener import raise_file_limit
from byo_container.training.cluster.protocol import HostResult
from byo_container.training.cluster.session import ClusterSession
from byo_container.training.host_result import result_of
from byo_container.training.output_folders import prepare_output, temporary_folder
from byo_container.training.plan import plan
from byo_container.training.processes.rank import Ranks


def main(arguments: Sequence[str] = ()) -> int:
    """Runs one job and returns the exit status."""
    configure(patient=False)
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    paths = Paths.from_environment()
    # Until run() waits for children. From its end on there is nothing to stop, and run() has SIGTERM ignored.
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
    """Runs this host's part of a job, and returns the status of the job."""
    # How long training code may save after SIGTERM.
    grace_s = stop_grace_s()
    if len(job.hosts.all) > 1:
        raise_file_limit()
    notices.warn(job)
    cluster = ClusterSession.of(job, Ranks(scratch), grace_s)
    handler = None
    files_before = manifest.changes(job.paths.model)
    try:
        planned = plan(job, cluster)
        handler = planned.handler
        result = result_of(run(planned.stages, grace_s, cluster), cluster.ranks, job.paths)
    except (Exception, JobStopped) as error:
        result = _report(job.paths, error)
    return finish(job, cluster, result, handler, files_before)


def finish(
    job: TrainingJob[Any],
    cluster: ClusterSession,
    result: HostResult,
    handler: str | None,
    files_before: Mapping[str, int],
) -> int:
    """Does what is left to do after the training, and returns the status of the job. Where this goes wrong after a
    failure, the failure remains the reason. `files_before` is what `manifest.changes` gave before the training."""
    status = result.status
    try:
        if status == 0:  # all hosts end together, the report written; after a failure they must not wait for it
            collect.write_report(job, 0, cluster)
        job_result = cluster.leave(result)
        status = job_result.status
        if status and not cluster.is_single:  # on a single host `result` is written already
            write_failure(job.paths.failure, job_result.text)
        if job.hosts.is_master and (status == 0 or manifest.changes(job.paths.model) != files_before):
            keep_code(handler, job.paths)
            log.info("%s; the model is in %s", "not finished" if status else "finished", job.paths.model)
        if status:
            collect.write_report(job, status)
    except (Exception, JobStopped) as error:
        if status == 0:
            raise
        log.warning("after the failure, this went wrong too: %s: %s", type(error).__name__, error)
    if status == 0:
        with contextlib.suppress(OSError):  # a full disk takes nothing from the model
            job.paths.success.touch()
    return status


def keep_code(handler: str | None, paths: Paths) -> None:
    """Leaves beside the model what `serve` needs to find its code. A failure to do so does not fail the job."""
    try:
        if handler or script.has_inference_script(paths):
            manifest.keep(handler, paths)
    except Exception as error:
        log.warning("the code is not kept beside the model: %s: %s", type(error).__name__, error)


def _report(paths: Paths, error: BaseException) -> HostResult:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it must not cut the failure file short
    return HostResult(report(paths.failure, error), describe(error))


def _raise_stopped(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM must not interrupt the report of the first
    raise JobStopped("before training began")
