"""One rank among others."""

from __future__ import annotations

import pytest

from byo_container.container.failure import JobError
from byo_container.container.rank import Rank


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({}, Rank()),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, Rank(3, 4, 1, 2)),
        (
            {
                "OMPI_COMM_WORLD_RANK": "1",
                "OMPI_COMM_WORLD_SIZE": "2",
                "OMPI_COMM_WORLD_LOCAL_RANK": "0",
                "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
            },
            Rank(1, 2, 0, 1),
        ),
    ],
)
def test_rank_from_the_variables_of_launchers(environ: dict[str, str], rank: Rank) -> None:
    assert Rank.from_environment(environ) == rank


def test_contradicting_rank_variables_are_refused() -> None:
    with pytest.raises(JobError, match="contradict each other: RANK=2, WORLD_SIZE=2"):
        Rank.from_environment({"RANK": "2", "WORLD_SIZE": "2"})


def test_wrong_world_size_is_refused() -> None:
    pytest.importorskip("torch")
    with pytest.raises(JobError, match="rank 0 trains with 1 ranks, and the launcher has started 2"):
        Rank(0, 2, 0, 2).check_world_size()
