"""`train`: reads the job, finds what to run, runs it, and tells the platform how it went.

    train            trains what /opt/ml/input/config describes, and leaves it in /opt/ml/model
    train --help     this text

The root /opt/ml is moved by SAGEMAKER_BASE_DIR. Status 0 only when the training code finished; else
output/failure says what was wrong.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from container import handler, log
from container import hyperparameters as hp
from container.failure import JobError, JobStopped, describe_child, report, write_failure
from container.job import TrainingJob, read_job
from container.paths import Paths
from container.process import Child, Command, run
from training import script
from training.launchers import single

# The platform stops a job by `docker stop -t 120`; the last two seconds are ours, to write the failure file.
STOP_GRACE_S = 118.0


def main(arguments: Sequence[str] = ()) -> int:
    """Runs one job and returns the exit status."""
    log.configure()
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    paths = Paths.from_environment()
    with _on_stop(_raise_stopped):
        try:
            prepare_output(paths)
            if arguments:
                raise JobError(f"train takes no arguments, and was given {shlex.join(arguments)}; see train --help")
            job = read_job(paths)
            grace_s = stop_grace_s()
            stages, reference = plan(job)
            status = conclude(run(stages, grace_s), paths)
            if status == 0:
                keep(reference, paths)
            return status
        except (Exception, JobStopped) as error:
            with _on_stop(signal.SIG_IGN):
                return report(paths.failure, error)


def plan(job: TrainingJob[dict[str, Any]]) -> tuple[list[list[Command]], handler.HandlerReference | None]:
    """What is to be run, stage after stage, for the user's script or for a handler, which is given back too.
    Raises JobError."""
    found = script.find(job)
    if found:
        *before, program = script.prepare(found, job)
        return [*([command] for command in before), single.launch(program)], None
    reference = handler.find_for_training(job)
    log.log.info("training %s, which %s asks for", reference.target, reference.told_by)
    # -P: `training` must be ours, also where the current folder holds another one.
    words = ["-P", "-m", "training.run_handler", reference.target, reference.told_by]
    program = Command([sys.executable, *words], reference.target)
    return [single.launch(program)], reference


def conclude(children: list[Child], paths: Paths) -> int:
    """Tells the platform about the first child that failed, and returns its status; 0 when none did."""
    for child in sorted(children, key=lambda child: child.ended_at):
        if child.status:
            # A handler's process knows its exception best and has written the file itself, if the disk let it.
            if not (paths.failure.is_file() and paths.failure.stat().st_size):
                write_failure(paths.failure, _reason(child, child.status))
            return child.status
    return 0


def _reason(child: Child, status: int) -> str:
    if child.overdue:
        return f"{child.command.name} was stopped by SIGTERM, did not end in time, and was killed"
    return describe_child(child.command.name, status, child.tail())


def keep(reference: handler.HandlerReference | None, paths: Paths) -> None:
    """Leaves beside the model what `serve` needs to find its code. Training has finished: SIGTERM comes late."""
    with _on_stop(signal.SIG_IGN):
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
    text = os.environ.get("TRAINING_STOP_TIMEOUT") or str(STOP_GRACE_S)
    try:
        return float(hp.convert(text, Annotated[float, hp.Range(0)]))
    except ValueError as error:
        raise JobError(f"the environment variable TRAINING_STOP_TIMEOUT is {text!r}; it must be {error}") from None


@contextlib.contextmanager
def _on_stop(handler: Callable[..., None] | signal.Handlers) -> Iterator[None]:
    """What SIGTERM does while we are not waiting for children; a process 1 would ignore it otherwise."""
    old = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _raise_stopped(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the failure file short
    raise JobStopped("before training began")
