"""One rank of a distributed job, and the failure report that it leaves for process 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from byo_container.training.processes.rank import RANK_COMMAND, Ranks

DIES_LATE = """
import atexit, sys, time
def linger():
    print("terminate called", file=sys.stderr, flush=True)
    time.sleep(60)
atexit.register(linger)
raise ValueError("torn")
"""


def test_a_rank_that_raised_and_lingers_is_not_taken_for_one_that_was_stopped(tmp_path: Path) -> None:
    environ = {**os.environ, **Ranks(tmp_path).variables("train.py"), "RANK": "3"}
    process = subprocess.Popen(
        [*RANK_COMMAND, sys.executable, "-c", DIES_LATE], env=environ, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    while "terminate called" not in process.stderr.readline():
        pass
    process.terminate()
    assert process.wait(10) == 1
    process.stderr.close()
    failure = Ranks(tmp_path).failure()
    assert failure
    assert failure.status == 1
    assert failure.text.startswith("rank 3: ValueError: torn")


def test_a_rank_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    environ = {**os.environ, **Ranks(tmp_path).variables("train.sh"), "RANK": "3"}
    done = subprocess.run([*RANK_COMMAND, "/nowhere/train.sh"], env=environ, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    reason = "rank 3: cannot start train.sh (/nowhere/train.sh): [Errno 2] No such file or directory"
    failure = Ranks(tmp_path).failure()
    assert failure
    assert failure.status == 1
    assert failure.text.startswith(reason)


def test_of_several_ranks_the_root_cause_is_reported(tmp_path: Path) -> None:
    (tmp_path / "failed-1-0").write_text('[1, "rank 0: RuntimeError: Connection closed by peer"]')
    (tmp_path / "failed-2-3").write_text('[2, "rank 3: ValueError: torn"]')
    (tmp_path / "failed-3-4").write_text("[1, ")
    failure = Ranks(tmp_path).failure()
    assert failure
    assert (failure.status, failure.text) == (2, "rank 3: ValueError: torn")


def test_no_rank_has_failed(tmp_path: Path) -> None:
    assert Ranks(tmp_path).failure() is None
    assert Ranks(tmp_path / "gone").failure() is None


def test_a_rank_does_not_start_after_the_stop(tmp_path: Path) -> None:
    Ranks(tmp_path).stop()
    environ = {**os.environ, **Ranks(tmp_path).variables("train.py")}
    assert subprocess.run([*RANK_COMMAND, "touch", str(tmp_path / "started")], env=environ).returncode == 143
    assert not (tmp_path / "started").exists()
