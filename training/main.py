"""`train`: reads the job, finds what to run, runs it, and tells the platform how it went.

    train            trains what /opt/ml/input/config describes, and leaves it in /opt/ml/model
    train --help     this text

The root /opt/ml is moved by SAGEMAKER_BASE_DIR. Status 0 only when the training code finished; else
output/failure says what was wrong.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from container import handler, log
from container.failure import STOPPED_STATUS, JobError, JobStopped, describe, describe_child, write_failure
from container.job import TrainingJob
from container.paths import Paths
from container.process import Child, Command, run
from training import script
from training.launchers import single

# The platform stops a job by `docker stop -t 120`; the last two seconds are ours, to write the failure file.
STOP_GRACE_S = 118.0


def main(arguments: Sequence[str] = ()) -> int:
    """Runs one job and returns the exit status."""
    log.configure()
    if arguments:
        print(__doc__)
        return 0 if arguments[0] in ("-h", "--help") else 2
    paths = Paths.from_environment()
    try:
        with _stop_raises():
            prepare_output(paths)
            job = TrainingJob.read(paths)
            log.set_level(job.platform.get("sagemaker_container_log_level", ""))
            grace_s = stop_grace_s()
            stages, reference = plan(job)
        for stage in stages:
            status = conclude(run(stage, grace_s), paths)
            if status:
                return status
        keep(reference, paths)
        return 0
    except (Exception, JobStopped) as error:
        write_failure(paths.failure, describe(error))
        return STOPPED_STATUS if isinstance(error, JobStopped) else 1


def plan(job: TrainingJob[dict[str, Any]]) -> tuple[list[list[Command]], handler.HandlerReference | None]:
    """What is to be run, stage after stage, for the user's script or for a handler, which is given back too.
    Raises JobError."""
    found = script.find(job)
    if found:
        *before, program = script.prepare(found, job)
        return [*([command] for command in before), single.launch(program)], None
    reference = handler.find_for_training(job)
    log.log.info("training %s, which %s asks for", reference.target, reference.told_by)
    program = Command([sys.executable, "-m", "training.run_handler", reference.target], reference.target)
    return [single.launch(program)], reference


def conclude(children: list[Child], paths: Paths) -> int:
    """Tells the platform about the first child that failed, and returns its status; 0 when none did."""
    for child in children:
        if child.status:
            # A handler's process knows its exception best and has written the file itself.
            if not paths.failure.exists():
                write_failure(paths.failure, describe_child(child.command.name, child.status, child.tail()))
            return child.status
    return 0


def keep(reference: handler.HandlerReference | None, paths: Paths) -> None:
    """Leaves beside the model what `serve` needs to find its code."""
    if reference:
        handler.remember(reference, paths)
    elif script.brings_inference(paths):
        handler.keep_code(paths)
    log.log.info("finished; the model is in %s", paths.model)


def prepare_output(paths: Paths) -> None:
    """Makes the folders that the job writes to, and removes an older run's failure. Raises JobError."""
    for folder in (paths.output, paths.model, paths.output_data):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise JobError(f"{folder} cannot be written to: {error.strerror}; mount it writable") from None
    paths.failure.unlink(missing_ok=True)


def stop_grace_s() -> float:
    """How long training code may save after SIGTERM; TRAINING_STOP_TIMEOUT shortens it."""
    text = os.environ.get("TRAINING_STOP_TIMEOUT", "")
    try:
        return float(text) if text else STOP_GRACE_S
    except ValueError:
        raise JobError(f"TRAINING_STOP_TIMEOUT is {text!r}; it must be a number of seconds") from None


@contextlib.contextmanager
def _stop_raises() -> Any:
    """SIGTERM raises JobStopped; a process 1 would ignore it otherwise."""

    def stop(*_: object) -> None:
        raise JobStopped("before training began")

    old = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)
