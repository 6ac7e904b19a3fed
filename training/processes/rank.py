"""`python -P -m byo_container.training.processes.rank PROGRAM…`: one rank of a distributed job, as torchrun and
mpirun start it.

They hide why a rank failed: torchrun says that it did, mpirun does so on the first host only. So a rank is started by
this small process on its own host, which leaves there what the rank's last words were. Process 1 sees it at once and
need not wait until the launcher has ended. And SIGTERM goes to the ranks, not to the launcher, which would kill them
before they have saved.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from byo_container.container import log
from byo_container.container.failure import STOPPED_STATUS, JobError, JobStopped, ends_in_traceback, is_consequence
from byo_container.container.files.atomic import write_atomically
from byo_container.container.metrics import Recorder
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.container.process.run import run
from byo_container.container.process.stop import STOP_GRACE_S
from byo_container.training.cluster.root_cause import Failure, root_cause

SCRATCH = "TRAINING_RANKS"
"""The variable that names the folder through which ranks and process 1 speak."""
NAME = "TRAINING_PROGRAM"
"""The variable that names the program for people."""
FAILURE_FILE = "TRAINING_FAILURE_FILE"
"""The variable that tells a handler's process where to leave its own account of a failure."""
# PyTorch's threads may take seconds to end after an exception, in which the others fail and SIGTERM comes, or abort.
DIED_LATE = (128 + signal.SIGTERM, 128 + signal.SIGABRT)
OWN = "own.json"
"""A file with the variables and the working folder of this host's program, where the launcher is on another host."""
WORDS = (sys.executable, "-P", "-m", "byo_container.training.processes.rank")


class Ranks:
    """The ranks of this host, as process 1 sees them through the folder `scratch`."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch

    def variables(self, program: str) -> dict[str, str]:
        """What a rank must find in its environment."""
        return {SCRATCH: str(self.scratch), NAME: program}

    def stop(self) -> None:
        """SIGTERM to all ranks; those that are about to start will not."""
        (self.scratch / "stop").touch()
        for path in self.scratch.glob("pid-*"):
            with contextlib.suppress(OSError):
                os.kill(int(path.name.removeprefix("pid-")), signal.SIGTERM)

    def failure(self) -> Failure | None:
        """Why ranks failed: of several failures the root cause."""
        failures = []
        paths: list[Path] = []
        with contextlib.suppress(OSError):  # no file is left to open the folder: process 1 asks again soon
            paths = sorted(self.scratch.glob("failed-*"))  # the earliest first
        for path in paths:
            with contextlib.suppress(OSError, ValueError):
                status, text = json.loads(path.read_text(encoding="utf-8"))
                failures.append(Failure(int(status), str(text)))
        return root_cause(failures)


def number_of(environ: Mapping[str, str]) -> str:
    """The rank, from whoever gave it: torchrun or Open MPI."""
    return environ.get("RANK") or environ.get("OMPI_COMM_WORLD_RANK") or "?"


def main(argv: Sequence[str]) -> int:
    """Runs the program, and returns its status."""
    log.configure()
    scratch, rank = Path(os.environ[SCRATCH]), number_of(os.environ)
    registered = scratch / f"pid-{os.getpid()}"
    registered.touch()
    if (scratch / "stop").exists():
        return STOPPED_STATUS
    account = scratch / f"account-{rank}"
    # Names such as SM_HP_BATCH-SIZE are lost in a shell, through which ssh goes.
    own = scratch / OWN
    env, cwd = json.loads(own.read_text(encoding="utf-8")) if own.exists() else ({}, None)
    env[FAILURE_FILE] = str(account)
    watch = Recorder(Paths.from_environment().metrics).note if rank == "0" else None
    command = Command(argv, os.environ.get(NAME, argv[0]), env, cwd, capture=True, whole_lines=True, watch=watch)
    try:
        # Process 1, whose setting this is, has checked it.
        (child,) = run([[command]], float(os.environ.get("TRAINING_STOP_TIMEOUT") or STOP_GRACE_S))
    except JobStopped:
        return STOPPED_STATUS
    except JobError as error:  # it cannot be started at all
        _record(scratch, rank, 1, str(error))
        return 1
    registered.unlink(missing_ok=True)
    if not child.status:
        return 0
    status, written = child.status, child.written()
    text = account.read_text(encoding="utf-8").strip() if account.exists() else ""
    raised = (text and not is_consequence(text)) or any(ends_in_traceback(stream.text) for stream in written)
    if status in DIED_LATE and raised and not (scratch / "stop").exists():
        child.status = status = 1
    _record(scratch, rank, status, text or child.reason())
    return status


def _record(scratch: Path, rank: str, status: int, text: str) -> None:
    """Leaves for process 1 why this rank failed."""
    write_atomically(scratch / f"failed-{time.time_ns():020d}-{rank}", json.dumps([status, f"rank {rank}: {text}"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
