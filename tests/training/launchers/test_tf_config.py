"""TensorFlow: the commands of each host."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.training.launchers import tf_config
from tests.support.tree import write_files
from tests.training.support.jobs import (
    PROGRAM,
    SIZES,
    context,
    job,
    names,
    only,
)


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


def test_sharded_channels_are_passed_on() -> None:
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
def test_single_host_gets_the_keras_of_several_hosts(
    monkeypatch: pytest.MonkeyPatch, given: str | None, installed: bool, expected: str | None
) -> None:
    monkeypatch.delenv(tf_config.LEGACY_KERAS, raising=False)
    if given:
        monkeypatch.setenv(tf_config.LEGACY_KERAS, given)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: installed or None)
    for program in (PROGRAM, Command(["/bin/sh", "-c", "./train.sh"], "train.sh")):
        assert only(tf_config.launch(job(1), program, context())).env.get(tf_config.LEGACY_KERAS) == expected


def test_only_the_first_host_gets_the_model_folder() -> None:
    program = Command([sys.executable, "train.py", "--model_dir", "/opt/ml/model", "--data", "/opt/ml/model2"], "t")
    first, second = (only(tf_config.launch(job(2, current), program, context())) for current in (1, 2))
    assert first.argv[-4:] == ["--model_dir", "/opt/ml/model", "--data", "/opt/ml/model2"]
    assert second.argv[-4:] == ["--model_dir", "/tmp/scratch/model", "--data", "/opt/ml/model2"]  # noqa: S108


@pytest.fixture
def wants_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_config, "parameter_server_in", lambda job, program: "a line")


@pytest.mark.usefixtures("wants_servers")
def test_parameter_server_and_worker_on_every_host_and_chief_on_the_first() -> None:
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
def test_parameter_server_on_a_single_host() -> None:
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
def test_strategy_by_program_and_hyperparameter(
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


def test_program_that_is_not_python_is_rejected() -> None:
    shell = Command(["/bin/sh", "-c", "./train.sh"], "train.sh")
    with pytest.raises(JobError, match=r"train\.sh cannot be distributed by TensorFlow: it is no Python program"):
        tf_config.launch(job(2), shell, context())
