"""Lines through a function on several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.container.process.tree import descendants
from byo_container.handlers.translation.preprocessing import parallel

LINES = [str(number) for number in range(4)]
AT_MOST_S = 120  # on a machine that does ten other things
SLOW_TO_BEGIN = """
import itertools, os, signal, time
from byo_container.handlers.translation.preprocessing import parallel

parallel.CHUNK = 1
signal.signal(signal.SIGTERM, lambda *_: None)  # as a job's own handler, which the workers inherit
forks = itertools.count()
which = 0
def count():
    global which
    which = next(forks)
os.register_at_fork(before=count, after_in_child=lambda: time.sleep(1.0 if which % 2 else 0.0))
for _ in range(2):
    assert parallel.transform("lines", ["a", "b"], lambda: str.upper, 2) == ["A", "B"]
"""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CHUNK", 1)


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    before = set(descendants(os.getpid()))  # of other tests
    yield
    assert not set(descendants(os.getpid())) - before


def test_starting_worker_is_waited_for() -> None:
    """The other one has done all the work meanwhile."""
    subprocess.run([sys.executable, "-c", SLOW_TO_BEGIN], cwd=Path(__file__).parents[4], timeout=AT_MOST_S, check=True)


def test_many_small_texts_in_parallel() -> None:
    for _ in range(20):
        assert parallel.transform("lines", LINES, lambda: str.upper, 2) == LINES


def test_error_in_a_worker_stops_all_workers() -> None:
    with pytest.raises(ValueError, match="invalid literal for int"):
        parallel.transform("lines", [*LINES, "x", *LINES], lambda: lambda line: str(int(line)), 2)


def test_killed_worker_is_an_error() -> None:
    def make() -> parallel.Transform:
        def die(line: str) -> str:
            os.kill(os.getpid(), signal.SIGKILL)
            return line

        return die

    with pytest.raises(JobError, match=r"a process that prepared the text was killed \(often: out of memory\)"):
        parallel.transform("lines", LINES, make, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_signal_handlers_of_the_job_are_kept(workers: int) -> None:
    mask, handler = signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getsignal(signal.SIGTERM)
    parallel.transform("lines", LINES, lambda: str.upper, workers)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert signal.getsignal(signal.SIGTERM) == handler
