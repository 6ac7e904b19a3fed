"""Which of several failures is the cause."""

from __future__ import annotations

import pytest

from byo_container.container.failure import is_secondary
from byo_container.training.cluster.root_cause import Failure, root_cause

TORN = Failure(1, "algo-2: ValueError: torn")
CLOSED = Failure(1, "algo-1: RuntimeError: Connection closed by peer")
STOPPED = Failure(143, "algo-3: train.py was killed by SIGTERM")
LOST = Failure(1, "algo-4 was lost: its connection closed before the job had ended", host_lost=True)


@pytest.mark.parametrize(
    ("failures", "cause"),
    [
        ([], None),
        ([TORN], TORN),
        ([CLOSED], CLOSED),
        ([TORN, CLOSED], TORN),
        ([CLOSED, TORN], TORN),
        ([STOPPED, CLOSED, TORN], TORN),
        ([CLOSED, STOPPED], CLOSED),
        ([CLOSED, LOST], LOST),
        ([LOST, TORN], LOST),
        ([TORN, LOST], TORN),
    ],
)
def test_the_first_failure_that_is_no_consequence_is_the_cause(failures: list[Failure], cause: Failure | None) -> None:
    assert root_cause(failures) == cause


@pytest.mark.parametrize(
    ("text", "secondary"),
    [
        ("ValueError: torn\n\nConnection closed by peer", False),
        ("RuntimeError: [gloo/transport/tcp/pair.cc:553] Connection closed by peer [10.0.0.1]:1", True),
        ("torch.distributed.DistBackendError: NCCL error in: ..., remote process exited", True),
        ("train.py was killed by SIGTERM", True),
        ("train.py was killed by SIGKILL (often: out of memory)", False),
        ("mpirun train.py ended with status 3", True),
        ("stopped by SIGTERM before it had finished", True),
    ],
)
def test_a_secondary_failure_is_recognised_by_its_headline(text: str, secondary: bool) -> None:
    assert is_secondary(text) == secondary
