"""torchrun: the command of each host."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.resources import cores
from byo_container.training.launchers import torchrun
from byo_container.training.processes.rank import RANK_COMMAND
from tests.training.support.jobs import (
    ENV,
    EVERY_HOST,
    PROGRAM,
    RANKS,
    SEVERAL_HOSTS,
    SINGLE_HOST,
    SIZES,
    context,
    job,
    only,
)


@pytest.mark.parametrize(("hosts", "gpus"), SIZES)
def test_torchrun_command(hosts: int, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    threads = {"OMP_NUM_THREADS": str(max(1, cores() // gpus))} if gpus > 1 else {}
    for current in {1, hosts}:
        command = only(torchrun.launch(job(hosts, current, launcher="torchrun"), PROGRAM, context(gpus)))
        assert command.argv == [
            *[sys.executable, "-m", "torch.distributed.run", f"--nnodes={hosts}", f"--nproc_per_node={gpus or 1}"],
            f"--node_rank={current - 1}",
            f"--master_addr={'127.0.0.1' if hosts == 1 else 'algo-1'}",
            *["--master_port=20001", "--no_python", *RANK_COMMAND, sys.executable, "train.py", "--lr", "1"],
        ]
        assert command.env == EVERY_HOST | (SEVERAL_HOSTS if hosts > 1 else SINGLE_HOST) | RANKS | threads | ENV
        assert command.spared_on_stop
        assert command.name == "torchrun train.py"


def test_variables_that_are_set_already_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_PROTO", "LL128")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    hosts = dataclasses.replace(job(2).hosts, instance_type="ml.p4d.24xlarge")
    env = only(torchrun.launch(dataclasses.replace(job(2), hosts=hosts), PROGRAM, context())).env
    assert not {"NCCL_PROTO", "OMP_NUM_THREADS"} & set(env)
    assert env["FI_PROVIDER"] == "efa"


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ({}, 8),
        ({"sagemaker_mpi_num_of_processes_per_host": 4}, 4),
        ({"sagemaker_mpi_num_of_processes_per_host": 4, "processes_per_host": 2}, 2),
    ],
)
def test_number_of_torchrun_processes(given: dict[str, Any], number: int) -> None:
    argv = only(torchrun.launch(job(1, **given), PROGRAM, context(gpus=8))).argv
    assert f"--nproc_per_node={number}" in argv


def test_neuron_parallel_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert torchrun.LAUNCHER.prepare(job(1), context()) == []
    usual = only(torchrun.launch(job(1), PROGRAM, context())).argv
    monkeypatch.setenv("RUN_NEURON_PARALLEL_COMPILE", "1")
    assert list(only(torchrun.launch(job(1), PROGRAM, context())).argv) == ["neuron_parallel_compile", *usual]
    with pytest.raises(
        JobError, match="RUN_NEURON_PARALLEL_COMPILE is 1, and neuron_parallel_compile is not installed"
    ):
        torchrun.LAUNCHER.prepare(job(1), context())
    (tmp_path / "neuron_parallel_compile").touch(mode=0o755)
    assert torchrun.LAUNCHER.prepare(job(1), context()) == []
