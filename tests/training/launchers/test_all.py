"""What all launchers have in common."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.training.launchers import mpi, single, tf_config, torchrun
from byo_container.training.processes.rank import RANK_COMMAND
from tests.training.support.jobs import (
    PROGRAM,
    context,
    job,
    only,
)

LAUNCHERS = [single.launch, torchrun.launch, mpi.launch, tf_config.launch]

HETERO = {"cpus": ["algo-3"], "gpus": ["algo-1", "algo-2"]}


@pytest.mark.parametrize("number", [0, -1, "many", 1.5, True])
def test_invalid_number_of_processes_is_rejected(number: object) -> None:
    for launch in (mpi.launch, torchrun.launch):
        with pytest.raises(JobError, match=r"processes_per_host is .*; it must be a whole number, at least 1"):
            launch(job(2, processes_per_host=number), PROGRAM, context())


@pytest.mark.parametrize("launch", LAUNCHERS)
def test_host_outside_the_instance_groups_runs_the_program_alone(launch: Any) -> None:
    outside = job(3, 3, groups=HETERO, sagemaker_distribution_instance_groups=["gpus"])
    command = only(launch(outside, PROGRAM, context()))
    assert command.argv == PROGRAM.argv
    inside = job(3, 2, groups=HETERO, sagemaker_distribution_instance_groups=["gpus"])
    assert "algo-3" not in " ".join([*only(launch(inside, PROGRAM, context())).argv])


def test_started_modules_exist() -> None:
    assert find_spec(RANK_COMMAND[-1])
    assert find_spec(tf_config.STRATEGY[-1])
