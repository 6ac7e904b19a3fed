"""`python -m byo_container.training.processes.run_handler package.module:Class`: calls a handler's `train`, in the
process that a launcher starts for it. An exception is written to the failure file here, where all of it is known.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from byo_container.container.class_check import create_for_training
from byo_container.container.discovery import HandlerReference, put_on_path
from byo_container.container.failure import JobStopped, report
from byo_container.container.handler import Handler
from byo_container.container.job import TrainingJob, read_job
from byo_container.container.log import configure
from byo_container.container.paths import Paths


def main(target: str, source: str = "the command line") -> int:
    """Trains by the handler `target`, which the setting `source` names, and returns the exit status."""
    configure()
    paths = Paths.from_environment()
    signal.signal(signal.SIGTERM, _raise_stopped)
    try:
        put_on_path([paths.code] if paths.code.is_dir() else [])
        sys.path.append(os.getcwd())  # an image's WORKDIR; last, so that it hides nothing
        train(HandlerReference(target, source).load(), target, read_job(paths))
    except (Exception, JobStopped) as error:
        # Each rank has a file of its own; see training/processes/rank.py.
        return report(Path(os.environ.get("TRAINING_FAILURE_FILE") or paths.failure), error)
    return 0


def train(handler_class: type[Handler], name: str, job: TrainingJob[Any]) -> None:
    """Trains a job by a handler class, which errors call `name`: with the hyperparameters that the class declares, or
    with all of the job's where it declares none. Raises JobError, and whatever the training raises."""
    handler = create_for_training(handler_class, name)
    declared = getattr(handler_class, "Hyperparameters", None)
    handler.train(job.declare(declared) if declared else job)


def _raise_stopped(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM must not interrupt the saving
    raise JobStopped("the handler had no time to say how far it came")


def end(status: int) -> NoReturn:
    """Ends this process as Python does, with its threads and exit handlers, but without the destructors of native
    libraries. In them PyTorch 2.13 sometimes aborts after distributed training ("terminate called without an active
    exception"), and a job that is done would fail."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python does, and ends idle pools
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the other end is closed
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    end(main(*sys.argv[1:]))
