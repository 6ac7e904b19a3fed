"""Open MPI: the commands of each host."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.process.child import Command
from byo_container.training.launchers import mpi
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
    names,
    only,
)


def test_arguments_too_long_for_mpi_are_rejected() -> None:
    program = Command([sys.executable, "train.py", *["x" * 2500] * 60], "train.py")
    with pytest.raises(JobError, match=r"hyperparameters\.json: the hyperparameters are too long for the launcher mpi"):
        mpi.launch(job(2, launcher="mpi"), program, context(0))


@pytest.mark.parametrize(("hosts", "gpus"), SIZES)
def test_mpirun_and_sshd_commands(hosts: int, gpus: int) -> None:
    command = only(mpi.launch(job(hosts, launcher="mpi"), PROGRAM, context(gpus)))
    argv = list(command.argv)
    each = gpus or 1
    on = ",".join(f"{name}:{each}" for name in (names(hosts) if hosts > 1 else ["localhost"]))
    assert argv[:5] == ["mpirun", "--host", on, "-np", str(each * hosts)]
    assert argv[-len(RANK_COMMAND) - len(PROGRAM.argv) :] == [*RANK_COMMAND, *PROGRAM.argv]
    options = dict(itertools.pairwise(argv))
    mca = {argv[at + 1]: argv[at + 2] for at, word in enumerate(argv) if word == "-mca"}
    assert options["-map-by"] == "slot"
    assert mca["orte_abort_on_non_zero_status"] == "1"
    assert ("plm_rsh_args" in mca) == (mca.get("btl_tcp_if_include") == "eth0") == (hosts > 1)
    assert command.env == EVERY_HOST | (SEVERAL_HOSTS if hosts > 1 else SINGLE_HOST) | RANKS | ENV
    for current in range(2, hosts + 1):
        server = only(mpi.launch(job(hosts, current, launcher="mpi"), PROGRAM, context(gpus)))
        assert (server.argv[0], server.service) == ("/usr/sbin/sshd", True)
        assert "Port=20006" in server.argv


@pytest.mark.parametrize(
    ("words", "run"),
    [
        (["PYTHON", "train.py", "-m", "1"], ["PYTHON", "-m", "mpi4py", "train.py", "-m", "1"]),
        (["PYTHON", "-m", "package.train"], ["PYTHON", "-m", "mpi4py", "-m", "package.train"]),
        (["PYTHON", "-P", "-m", "mine"], ["PYTHON", "-P", "-m", "mpi4py", "-m", "mine"]),
        (["/bin/sh", "-c", "./train.sh"], ["/bin/sh", "-c", "./train.sh"]),
    ],
)
def test_python_is_run_by_mpi4py_where_it_is_installed(words: list[str], run: list[str]) -> None:
    python = {"PYTHON": sys.executable}
    program = Command([python.get(word, word) for word in words], "train.py")
    here = dataclasses.replace(context(), has_mpi4py=True)
    argv = list(only(mpi.launch(job(1), program, here)).argv)
    assert argv[-len(run) :] == [python.get(word, word) for word in run]


@pytest.mark.parametrize(
    ("given", "per_host", "total"),
    [
        ({"sagemaker_mpi_num_of_processes_per_host": 4}, 4, 8),
        ({"sagemaker_mpi_num_of_processes_per_host": "4"}, 4, 8),
        ({"processes_per_host": 3, "sagemaker_mpi_num_of_processes_per_host": 4}, 3, 6),
        ({"sagemaker_mpi_num_of_processes_per_host": 4, "sagemaker_mpi_num_processes": 7}, 4, 7),
    ],
)
def test_number_of_mpi_processes(given: dict[str, Any], per_host: int, total: int) -> None:
    words = mpi.mpirun(job(2, **given), context(gpus=8))
    assert words[:5] == ["mpirun", "--host", f"algo-1:{per_host},algo-2:{per_host}", "-np", str(total)]


@pytest.mark.parametrize("debug", ["--NCCL_DEBUG WARN", "--NCCL_DEBUG=WARN", "--NCCL_DEBUG INFO --NCCL_DEBUG=WARN"])
def test_custom_mpi_options(debug: str) -> None:
    given: dict[str, Any] = {"sagemaker_mpi_custom_mpi_options": f"-x A='b c' {debug} -verbose --mca a -1 -x B"}
    command = only(mpi.launch(job(1, **given), PROGRAM, context()))
    at = list(command.argv).index("-x")
    assert list(command.argv)[at : at + 8] == ["-x", "A=b c", "-verbose", "--mca", "a", "-1", "-x", "B"]
    assert command.env["NCCL_DEBUG"] == "WARN"


@pytest.mark.parametrize(
    ("text", "said"), [("-x 'A", "no shell could split"), ("-x A --NCCL_DEBUG", "--NCCL_DEBUG: expected one argument")]
)
def test_invalid_custom_mpi_options_are_rejected(text: str, said: str) -> None:
    with pytest.raises(JobError, match=f"sagemaker_mpi_custom_mpi_options is .*{said}"):
        mpi.launch(job(1, sagemaker_mpi_custom_mpi_options=text), PROGRAM, context())


@pytest.mark.parametrize(("text", "port"), [(None, 20_006), ("", 20_006), ("2222", 2222)])
def test_sshd_port(text: str | None, port: int) -> None:
    assert mpi.ssh_port(20_006, {} if text is None else {"SSH_PORT": text}) == port


def test_invalid_sshd_port_is_rejected() -> None:
    with pytest.raises(JobError, match="SSH_PORT is '99999'; it must be a whole number, at least 1 and at most 65535"):
        mpi.ssh_port(1, {"SSH_PORT": "99999"})


def test_session_script_exports_what_a_shell_can_hold() -> None:
    env = {"A": "x y;$(z)'\"\n", "SM_HP_BATCH-SIZE": "1", "B": ""}
    assert mpi.session(env) == "export A='x y;$(z)'\"'\"'\"\n'\nexport B=''\n"
