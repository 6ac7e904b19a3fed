"""Launchers as data: what each host of a job runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.training.launchers import efa, mpi, single, tf_config, torchrun
from byo_container.training.processes.rank import RANK_COMMAND
from tests.support.tree import write_files
from tests.training.support.jobs import ENV, PROGRAM, SIZES, context, job, names

LAUNCHERS = [single.launch, torchrun.launch, mpi.launch, tf_config.launch]
ALONE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "20001"}
NETWORK = {"NCCL_SOCKET_IFNAME": "eth0", "GLOO_SOCKET_IFNAME": "eth0", "MASTER_ADDR": "algo-1", "MASTER_PORT": "20001"}
RANKS = {"TRAINING_RANKS": "/tmp/scratch", "TRAINING_PROGRAM": "train.py"}  # noqa: S108
ALWAYS = {"PYTHONUNBUFFERED": "1", "SM_MASTER_ADDR": "algo-1", "SM_MASTER_PORT": "20001"}
HETERO = {"cpus": ["algo-3"], "gpus": ["algo-1", "algo-2"]}


def only(commands: list[Command]) -> Command:
    (command,) = commands
    return command


@pytest.mark.parametrize(("hosts", "gpus"), SIZES)
def test_single_is_the_program_itself(hosts: int, gpus: int) -> None:
    command = only(single.launch(job(hosts), PROGRAM, context(gpus)))
    assert command.argv == PROGRAM.argv
    assert command.env == ALWAYS | (NETWORK if hosts > 1 else ALONE) | ENV
    assert (command.cwd, command.capture, command.spared_on_stop) == (PROGRAM.cwd, True, False)


def test_an_interface_that_is_not_known_is_not_told() -> None:
    env = only(single.launch(job(2), PROGRAM, context(interface=None))).env
    assert not any(name.endswith("IFNAME") for name in env)


@pytest.mark.parametrize(("hosts", "gpus"), SIZES)
def test_torchrun(hosts: int, gpus: int) -> None:
    for current in {1, hosts}:
        command = only(torchrun.launch(job(hosts, current, launcher="torchrun"), PROGRAM, context(gpus)))
        assert command.argv == [
            *[sys.executable, "-m", "torch.distributed.run", f"--nnodes={hosts}", f"--nproc_per_node={gpus or 1}"],
            f"--node_rank={current - 1}",
            f"--master_addr={'127.0.0.1' if hosts == 1 else 'algo-1'}",
            *["--master_port=20001", "--no_python", *RANK_COMMAND, sys.executable, "train.py", "--lr", "1"],
        ]
        assert command.env == ALWAYS | (NETWORK if hosts > 1 else ALONE) | RANKS | ENV
        assert command.spared_on_stop
        assert command.name == "torchrun train.py"


def test_arguments_that_mpi_cannot_pass_on_are_refused() -> None:
    program = Command([sys.executable, "train.py", *["x" * 2500] * 60], "train.py")
    with pytest.raises(JobError, match=r"hyperparameters\.json: the hyperparameters are too long for the launcher mpi"):
        mpi.launch(job(2, launcher="mpi"), program, context(0))


@pytest.mark.parametrize(("hosts", "gpus"), SIZES)
def test_mpi(hosts: int, gpus: int) -> None:
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
    assert command.env == ALWAYS | (NETWORK if hosts > 1 else ALONE) | RANKS | ENV
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
def test_how_many_processes_mpi_starts(given: dict[str, Any], per_host: int, total: int) -> None:
    words = mpi.mpirun(job(2, **given), context(gpus=8))
    assert words[:5] == ["mpirun", "--host", f"algo-1:{per_host},algo-2:{per_host}", "-np", str(total)]


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ({}, 8),
        ({"sagemaker_mpi_num_of_processes_per_host": 4}, 4),
        ({"sagemaker_mpi_num_of_processes_per_host": 4, "processes_per_host": 2}, 2),
    ],
)
def test_how_many_processes_torchrun_starts(given: dict[str, Any], number: int) -> None:
    argv = only(torchrun.launch(job(1, **given), PROGRAM, context(gpus=8))).argv
    assert f"--nproc_per_node={number}" in argv


def test_neuron_graphs_are_compiled_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_efa_by_the_instance_type(instance_type: str, variables: dict[str, str]) -> None:
    assert efa.variables_for(instance_type) == variables
    hosts = dataclasses.replace(job(2).hosts, instance_type=instance_type)
    several = dataclasses.replace(job(2), hosts=hosts)
    for launch in (torchrun.launch, mpi.launch):
        assert variables.items() <= only(launch(several, PROGRAM, context())).env.items()
    assert not variables.items() & only(single.launch(several, PROGRAM, context())).env.items()
    assert efa.variables(dataclasses.replace(job(1), hosts=dataclasses.replace(hosts, all=("algo-1",)))) == {}


def test_what_is_set_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_PROTO", "LL128")
    hosts = dataclasses.replace(job(2).hosts, instance_type="ml.p4d.24xlarge")
    env = only(torchrun.launch(dataclasses.replace(job(2), hosts=hosts), PROGRAM, context())).env
    assert "NCCL_PROTO" not in env
    assert env["FI_PROVIDER"] == "efa"


@pytest.mark.parametrize("number", [0, -1, "many", 1.5, True])
def test_a_bad_number_of_processes_is_refused(number: object) -> None:
    for launch in (mpi.launch, torchrun.launch):
        with pytest.raises(JobError, match=r"processes_per_host is .*; it must be a whole number, at least 1"):
            launch(job(2, processes_per_host=number), PROGRAM, context())


@pytest.mark.parametrize("debug", ["--NCCL_DEBUG WARN", "--NCCL_DEBUG=WARN", "--NCCL_DEBUG INFO --NCCL_DEBUG=WARN"])
def test_custom_options_of_mpi(debug: str) -> None:
    given: dict[str, Any] = {"sagemaker_mpi_custom_mpi_options": f"-x A='b c' {debug} -verbose --mca a -1 -x B"}
    command = only(mpi.launch(job(1, **given), PROGRAM, context()))
    at = list(command.argv).index("-x")
    assert list(command.argv)[at : at + 8] == ["-x", "A=b c", "-verbose", "--mca", "a", "-1", "-x", "B"]
    assert command.env["NCCL_DEBUG"] == "WARN"


@pytest.mark.parametrize(
    ("text", "said"), [("-x 'A", "no shell could split"), ("-x A --NCCL_DEBUG", "--NCCL_DEBUG: expected one argument")]
)
def test_custom_options_that_mpi_could_not_have(text: str, said: str) -> None:
    with pytest.raises(JobError, match=f"sagemaker_mpi_custom_mpi_options is .*{said}"):
        mpi.launch(job(1, sagemaker_mpi_custom_mpi_options=text), PROGRAM, context())


@pytest.mark.parametrize(("text", "port"), [(None, 20_006), ("", 20_006), ("2222", 2222)])
def test_the_port_of_sshd(text: str | None, port: int) -> None:
    assert mpi.ssh_port(20_006, {} if text is None else {"SSH_PORT": text}) == port


def test_a_bad_port_of_sshd_is_refused() -> None:
    with pytest.raises(JobError, match="SSH_PORT is '99999'; it must be a whole number, at least 1 and at most 65535"):
        mpi.ssh_port(1, {"SSH_PORT": "99999"})


def test_what_a_shell_can_hold_goes_through_it() -> None:
    env = {"A": "x y;$(z)'\"\n", "SM_HP_BATCH-SIZE": "1", "B": ""}
    assert mpi.session(env) == "export A='x y;$(z)'\"'\"'\"\n'\nexport B=''\n"


@pytest.mark.parametrize(("hosts", "gpus"), SIZES)
def test_mirrored_workers(hosts: int, gpus: int) -> None:
    for current in {1, hosts}:
        command = only(tf_config.launch(job(hosts, current), PROGRAM, context(gpus)))
        if hosts == 1:
            assert command.argv == PROGRAM.argv
            assert "TF_CONFIG" not in command.env
            continue
        assert command.argv[-4:] == ["/opt/ml/model", "train.py", "--lr", "1"]
        assert command.env["TF_USE_LEGACY_KERAS"] == "1"
        assert json.loads(command.env["TF_CONFIG"]) == {
            "cluster": {"worker": [f"{name}:20001" for name in names(hosts)]},
            "task": {"type": "worker", "index": current - 1},
            "environment": "cloud",
        }
        spare = None if current == 1 else "/tmp/scratch/model"  # noqa: S108
        assert command.env.get("SM_MODEL_DIR") == command.env.get("TRAINING_SPARE_MODEL_DIR") == spare


def test_the_channels_of_which_every_host_has_other_files_are_passed_on() -> None:
    inputs = {
        "b": {"S3DistributionType": "ShardedByS3Key"},
        "a": {"S3DistributionType": "ShardedByS3Key"},
        "test": {"S3DistributionType": "FullyReplicated"},
        "code": {},
    }
    sharded = dataclasses.replace(job(2), raw={"inputdataconfig": inputs})
    assert only(tf_config.launch(sharded, PROGRAM, context())).env["TRAINING_SHARDED_CHANNELS"] == "a, b"
    assert "TRAINING_SHARDED_CHANNELS" not in only(tf_config.launch(job(2), PROGRAM, context())).env


@pytest.mark.parametrize(
    ("given", "installed", "expected"), [(None, True, "1"), ("0", True, None), ("1", True, None), (None, False, None)]
)
def test_one_host_alone_has_the_keras_of_several(
    monkeypatch: pytest.MonkeyPatch, given: str | None, installed: bool, expected: str | None
) -> None:
    monkeypatch.delenv(tf_config.LEGACY_KERAS, raising=False)
    if given:
        monkeypatch.setenv(tf_config.LEGACY_KERAS, given)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: installed or None)
    for program in (PROGRAM, Command(["/bin/sh", "-c", "./train.sh"], "train.sh")):
        assert only(tf_config.launch(job(1), program, context())).env.get(tf_config.LEGACY_KERAS) == expected


def test_only_the_first_hosts_script_is_told_the_model_folder() -> None:
    program = Command([sys.executable, "train.py", "--model_dir", "/opt/ml/model", "--data", "/opt/ml/model2"], "t")
    first, second = (only(tf_config.launch(job(2, current), program, context())) for current in (1, 2))
    assert first.argv[-4:] == ["--model_dir", "/opt/ml/model", "--data", "/opt/ml/model2"]
    assert second.argv[-4:] == ["--model_dir", "/tmp/scratch/model", "--data", "/opt/ml/model2"]  # noqa: S108


@pytest.fixture
def wants_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_config, "parameter_server_in", lambda job, program: "a line")


@pytest.mark.usefixtures("wants_servers")
def test_every_host_has_a_parameter_server_and_a_worker_and_the_first_one_the_chief() -> None:
    cluster = {
        "chief": ["algo-1:20003"],
        "ps": ["algo-1:20002", "algo-2:20002", "algo-3:20002"],
        "worker": ["algo-1:20001", "algo-2:20001", "algo-3:20001"],
    }
    for current in (1, 2, 3):
        commands = tf_config.launch(job(3, current), PROGRAM, context())
        tasks = [json.loads(command.env["TF_CONFIG"])["task"] for command in commands]
        assert [(task["type"], task["index"]) for task in tasks] == [
            *[("ps", current - 1), ("worker", current - 1)],
            *([("chief", 0)] if current == 1 else []),
        ]
        assert all(json.loads(command.env["TF_CONFIG"])["cluster"] == cluster for command in commands)
        assert [command.service for command in commands] == [True, True, False][: len(commands)]
        assert [command.env.get("CUDA_VISIBLE_DEVICES") for command in commands[:2]] == ["", None]
        assert all(command.argv[-1] == "--server" for command in commands[:2])
        assert all(command.argv[-4:] == ["--chief", "train.py", "--lr", "1"] for command in commands[2:])


@pytest.mark.usefixtures("wants_servers")
def test_one_host_alone_is_a_cluster_for_who_wants_parameter_servers() -> None:
    ps, worker, chief = tf_config.launch(job(1), PROGRAM, context())
    assert [command.service for command in (ps, worker, chief)] == [True, True, False]
    assert json.loads(chief.env["TF_CONFIG"]) == {
        "cluster": {"chief": ["127.0.0.1:20003"], "ps": ["127.0.0.1:20002"], "worker": ["127.0.0.1:20001"]},
        "task": {"type": "chief", "index": 0},
        "environment": "cloud",
    }


@pytest.mark.parametrize(
    ("given", "words", "servers", "why"),
    [
        ({}, ["train.py"], True, "a parameter server on every host, because strategies.py, line 2, uses Param"),
        ({}, ["other.py"], False, "MultiWorkerMirroredStrategy, because train.py uses no ParameterServerStrategy"),
        (
            {},
            ["-P", "-m", "byo_container.training.processes.run_handler", "mine:Handler"],
            False,
            "uses no ParameterServerStrategy",
        ),
        ({tf_config.MIRRORED: True}, ["train.py"], False, "is on, though strategies.py, line 2, uses"),
    ],
)
def test_which_strategy_a_program_gets_and_why(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    given: Any,
    words: list[str],
    servers: bool,
    why: str,
) -> None:
    paths = Paths(tmp_path)
    uses = "import tensorflow as tf\ntf.distribute.ParameterServerStrategy()"
    write_files(paths.code, {"train.py": "import strategies", "strategies.py": uses, "other.py": f'"""{uses}"""'})
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.INFO)
    program = Command([sys.executable, *words], "train.py")
    commands = tf_config.launch(dataclasses.replace(job(2, **given), paths=paths), program, context())
    assert (len(commands) == 3) is servers
    assert why in caplog.text


def test_what_is_not_python_cannot_be_mirrored() -> None:
    shell = Command(["/bin/sh", "-c", "./train.sh"], "train.sh")
    with pytest.raises(JobError, match=r"train\.sh cannot be distributed by TensorFlow: it is no Python program"):
        tf_config.launch(job(2), shell, context())


@pytest.mark.parametrize("launch", LAUNCHERS)
def test_hosts_outside_the_distributions_groups_run_the_program_alone(launch: Any) -> None:
    outside = job(3, 3, groups=HETERO, sagemaker_distribution_instance_groups=["gpus"])
    command = only(launch(outside, PROGRAM, context()))
    assert command.argv == PROGRAM.argv
    inside = job(3, 2, groups=HETERO, sagemaker_distribution_instance_groups=["gpus"])
    assert "algo-3" not in " ".join([*only(launch(inside, PROGRAM, context())).argv])


def test_the_modules_that_are_started_are_there() -> None:
    assert find_spec(RANK_COMMAND[-1])
    assert find_spec(tf_config.STRATEGY[-1])
