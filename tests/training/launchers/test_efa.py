"""The variables for EFA."""

from __future__ import annotations

import dataclasses

import pytest

from byo_container.training.launchers import efa, mpi, single, torchrun
from tests.training.support.jobs import (
    PROGRAM,
    context,
    job,
    only,
)

EFA = {"FI_PROVIDER": "efa", "FI_EFA_FORK_SAFE": "1"}

RDMA = {"FI_EFA_USE_DEVICE_RDMA": "1"}

SIMPLE = {"NCCL_PROTO": "simple"}


@pytest.mark.parametrize(
    ("instance_type", "variables"),
    [
        ("ml.p4d.24xlarge", EFA | RDMA | SIMPLE),
        ("ml.p5.48xlarge", EFA | RDMA | SIMPLE),
        ("ml.p5e.48xlarge", EFA | RDMA | SIMPLE),
        ("ml.p6e-gb200.36xlarge", EFA | RDMA | SIMPLE),
        ("ml.trn1.32xlarge", EFA | RDMA | SIMPLE),
        ("ml.p3dn.24xlarge", EFA | SIMPLE),
        ("ml.g4dn.12xlarge", EFA | SIMPLE),
        ("ml.g5.48xlarge", EFA | SIMPLE),
        ("ml.p5en.48xlarge", EFA | RDMA),
        ("ml.p6-b200.48xlarge", EFA | RDMA),
        ("ml.trn2.48xlarge", EFA | RDMA),
        ("ml.g5.2xlarge", {}),
        ("ml.trn1.2xlarge", {}),
        ("ml.m5.xlarge", {}),
        ("local", {}),
    ],
)
def test_efa_variables_by_instance_type(instance_type: str, variables: dict[str, str]) -> None:
    assert efa.variables_for(instance_type) == variables
    hosts = dataclasses.replace(job(2).hosts, instance_type=instance_type)
    several = dataclasses.replace(job(2), hosts=hosts)
    for launch in (torchrun.launch, mpi.launch):
        assert variables.items() <= only(launch(several, PROGRAM, context())).env.items()
    assert not variables.items() & only(single.launch(several, PROGRAM, context())).env.items()
    assert efa.variables(dataclasses.replace(job(1), hosts=dataclasses.replace(hosts, all=("algo-1",)))) == {}
