"""`python -P -m byo_container.training.processes.rank PROGRAM…`: one rank of a distributed job, as torchrun and
mpirun start it.

These launchers hide why a rank failed: torchrun reports only that it did, mpirun reports it on the first host only. So
each rank is started by this small process on its own host, which leaves a failure report for process 1. Process 1 reads
it at once and does not wait until the launcher has ended. SIGTERM goes to the ranks and not to the launcher, which
would kill them before they have saved.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from byo_container.container.failure import STOPPED_STATUS, JobError, JobStopped, ends_in_traceback, is_secondary
from byo_container.container.files.atomic import write_atomically
from byo_container.container.log import configure
from byo_container.container.metrics import Recorder
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.container.process.run import run
from byo_container.container.process.stop import stop_grace_s
from byo_container.training.cluster.root_cause import Failure, root_cause

SCRATCH = "TRAINING_RANKS"
"""The variable with the folder by which ranks and process 1 exchange files."""
NAME = "TRAINING_PROGRAM"
"""The variable with the name of the program in messages."""
FAILURE_FILE = "TRAINING_FAILURE_FILE"
"""The variable with the path to which a handler's process writes its failure report."""
# After an exception PyTorch's threads may take seconds to end. Meanwhile the other ranks fail and SIGTERM comes, or the
# threads abort.
DIED_LATE = (128 + signal.SIGTERM, 128 + signal.SIGABRT)
PROGRAM_FILE = "program.json"
"""The file with the variables and the working folder of this host's program, if the launcher is on another host."""
RANK_COMMAND = (sys.executable, "-P", "-m", "byo_container.training.processes.rank")


class Ranks:
    """The ranks of this host, as process 1 sees them through the folder `scratch`."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch

    def variables(self, program: str) -> dict[str, str]:
        """The variables that a rank needs."""
        return {SCRATCH: str(self.scratch), NAME: program}

    def stop(self) -> None:
        """Sends SIGTERM to all ranks. Those that have not started yet do not start."""
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


def main(argv: Sequence[str]) -> int:
    """Runs the program and returns its status."""
    configure()
    scratch = Path(os.environ[SCRATCH])
    rank = os.environ.get("RANK") or os.environ.get("OMPI_COMM_WORLD_RANK") or "?"  # of torchrun, of Open MPI
    registered = scratch / f"pid-{os.getpid()}"
    registered.touch()
    if (scratch / "stop").exists():
        return STOPPED_STATUS
    report = scratch / f"report-{rank}"
    # ssh goes through a shell, which loses names such as SM_HP_BATCH-SIZE.
    program = scratch / PROGRAM_FILE
    env, cwd = json.loads(program.read_text(encoding="utf-8")) if program.exists() else ({}, None)
    env[FAILURE_FILE] = str(report)
    watch = Recorder(Paths.from_environment().metrics).note if rank == "0" else None
    command = Command(argv, os.environ.get(NAME, argv[0]), env, cwd, capture=True, whole_lines=True, watch=watch)
    try:
        # Process 1 has checked this setting.
        (child,) = run([[command]], stop_grace_s())
    except JobStopped:
        return STOPPED_STATUS
    except JobError as error:  # it cannot be started at all
        _report_failure(scratch, rank, 1, str(error))
        return 1
    registered.unlink(missing_ok=True)
    if not child.status:
        return 0
    status, written = child.status, child.output_tails()
    text = report.read_text(encoding="utf-8").strip() if report.exists() else ""
    raised = (text and not is_secondary(text)) or any(ends_in_traceback(stream.text) for stream in written)
    if status in DIED_LATE and raised and not (scratch / "stop").exists():
        child.status = status = 1
    _report_failure(scratch, rank, status, text or child.reason())
    return status


def _report_failure(scratch: Path, rank: str, status: int, text: str) -> None:
    """Leaves the failure report of this rank for process 1."""
    write_atomically(scratch / f"failed-{time.time_ns():020d}-{rank}", json.dumps([status, f"rank {rank}: {text}"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
