"""The SM_* variables and the arguments of a user's script: those of sagemaker-training-toolkit to the letter."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from byo_container.container.accelerators import count_gpus
from byo_container.container.job import TrainingJob
from byo_container.container.sm_variables import sm_variables, to_arguments, to_text
from tests.support.tree import ONE_HOST, Tree

MakeTree = Callable[..., Tree]

GIVEN = {
    "batch-size": "32",
    "name": '"mlp"',
    "raw": "text",
    "none": "null",
    "deep": "True",
    "layers": '[1, "a"]',
    "extra": '{"y": 2, "x": 1}',
    "k": "true",
    "sagemaker_program": '"train.py"',
    "sagemaker_submit_directory": '"/code"',
    "sagemaker_region": '"eu-west-1"',
    "sagemaker_mpi_enabled": "true",
    "_tuning_objective_metric": "loss",
}
GROUPS = {
    **ONE_HOST,
    "current_instance_type": "ml.c5.xlarge",
    "current_group_name": "homogeneousCluster",
    "instance_groups": [
        {"instance_group_name": "homogeneousCluster", "instance_type": "ml.c5.xlarge", "hosts": ["algo-1"]}
    ],
    "topology": None,
}


def variables(tree: Tree) -> dict[str, str]:
    return sm_variables(TrainingJob.read(tree.paths), "train.py", "/code")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (None, ""),
        (True, "true"),
        (3, "3"),
        (["b", "a"], '["b","a"]'),
        ({"b": 1, "a": "ä"}, '{"a":"\\u00e4","b":1}'),
    ],
)
def test_text_of_a_value_in_a_variable(value: Any, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("hyperparameters", "words"),
    [
        ({"b": 1, "aa": 2}, ["--aa", "2", "-b", "1"]),
        ({"none": None, "deep": True}, ["--deep", "True", "--none", ""]),
        ({"list": [1, "a"]}, ["--list", "[1, 'a']"]),
        ({"map": {"y": 2, "x": None}}, ["--map", "x=None,y=2"]),
        ({"map": {"x": {"in": 1}}}, ["--map", "x={'in': 1}"]),
        ({"text": "two words"}, ["--text", "two words"]),
    ],
)
def test_hyperparameters_as_arguments(hyperparameters: dict[str, Any], words: list[str]) -> None:
    assert to_arguments(hyperparameters) == words


def test_variables_of_a_job(ml: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_JOB_NAME", "my-job")
    tree = ml(hyperparameters=GIVEN, channels={"train": {}, "my-test": {}}, resources=GROUPS)
    root = tree.root
    own = {
        "batch-size": 32,
        "name": "mlp",
        "raw": "text",
        "none": None,
        "deep": "True",
        "layers": [1, "a"],
        "extra": {"x": 1, "y": 2},
        "k": True,
    }
    found = variables(tree)
    training_env = json.loads(found.pop("SM_TRAINING_ENV"))
    assert json.loads(found.pop("SM_HPS")) == own
    assert json.loads(found.pop("SM_USER_ARGS")) == to_arguments(own)
    assert json.loads(found.pop("SM_RESOURCE_CONFIG")) == GROUPS
    assert set(json.loads(found.pop("SM_INPUT_DATA_CONFIG"))) == {"train", "my-test"}
    assert json.loads(found.pop("SM_INSTANCE_GROUPS_DICT")) == {"homogeneousCluster": GROUPS["instance_groups"][0]}  # type: ignore[index]
    assert found == {
        "SM_MODEL_DIR": f"{root}/model",
        "SM_INPUT_DIR": f"{root}/input",
        "SM_INPUT_CONFIG_DIR": f"{root}/input/config",
        "SM_OUTPUT_DIR": f"{root}/output",
        "SM_OUTPUT_DATA_DIR": f"{root}/output/data",
        "SM_OUTPUT_INTERMEDIATE_DIR": f"{root}/output/intermediate",
        "SM_CHANNELS": '["my-test","train"]',
        "SM_CHANNEL_TRAIN": f"{root}/input/data/train",
        "SM_CHANNEL_MY-TEST": f"{root}/input/data/my-test",
        "SM_HP_BATCH-SIZE": "32",
        "SM_HP_NAME": "mlp",
        "SM_HP_RAW": "text",
        "SM_HP_NONE": "",
        "SM_HP_DEEP": "True",
        "SM_HP_LAYERS": '[1,"a"]',
        "SM_HP_EXTRA": '{"x":1,"y":2}',
        "SM_HP_K": "true",
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_NETWORK_INTERFACE_NAME": "eth0",
        "SM_CURRENT_INSTANCE_TYPE": "ml.c5.xlarge",
        "SM_CURRENT_INSTANCE_GROUP": "homogeneousCluster",
        "SM_CURRENT_INSTANCE_GROUP_HOSTS": '["algo-1"]',
        "SM_INSTANCE_GROUPS": '["homogeneousCluster"]',
        "SM_DISTRIBUTION_INSTANCE_GROUPS": '["homogeneousCluster"]',
        "SM_IS_HETERO": "false",
        "SM_NUM_CPUS": str(os.cpu_count()),
        "SM_NUM_GPUS": str(count_gpus()),
        "SM_NUM_NEURONS": "0",
        "SM_USER_ENTRY_POINT": "train.py",
        "SM_MODULE_NAME": "train",
        "SM_MODULE_DIR": "/code",
        "SM_FRAMEWORK_MODULE": "",
        "SM_FRAMEWORK_PARAMS": '{"sagemaker_mpi_enabled":true}',
        "SM_LOG_LEVEL": "20",
        "SAGEMAKER_JOB_NAME": "my-job",
        "SAGEMAKER_REGION": "eu-west-1",
        "CURRENT_HOST": "algo-1",
        # V3's own
        "SM_HP_BATCH_SIZE": "32",
        "SM_INPUT_DATA_DIR": f"{root}/input/data",
        "SM_OUTPUT_FAILURE": f"{root}/output/failure",
        "SM_SOURCE_DIR": f"{root}/code",
        "SM_ENTRY_SCRIPT": "train.py",
        "SM_HOST_COUNT": "1",
        "SM_CURRENT_HOST_RANK": "0",
    }
    assert training_env["hyperparameters"] == own
    assert training_env["channel_input_dirs"] == {
        "train": f"{root}/input/data/train",
        "my-test": f"{root}/input/data/my-test",
    }
    for name, value in {"job_name": "my-job", "is_master": True, "master_hostname": "algo-1", "log_level": 20}.items():
        assert training_env[name] == value


def test_defaults_of_a_minimal_resource_config(ml: MakeTree) -> None:
    found = variables(ml(resources={"current_host": "h", "hosts": ["h", "i"]}))
    assert found["SM_NETWORK_INTERFACE_NAME"] == "eth0"
    assert found["SM_CURRENT_INSTANCE_TYPE"] == "local"
    assert found["SM_CURRENT_INSTANCE_GROUP"] == "homogeneousCluster"
    assert found["SM_INSTANCE_GROUPS"] == found["SM_CURRENT_INSTANCE_GROUP_HOSTS"] == "[]"
    assert (found["SM_HOST_COUNT"], found["SM_CURRENT_HOST_RANK"]) == ("2", "0")
    assert "SM_TOPOLOGY" not in found
    assert not [name for name in found if name.startswith("SM_MASTER")], "the launcher knows it, and nobody else"


def test_names_with_hyphen_and_underscore_do_not_collide(ml: MakeTree) -> None:
    found = variables(ml(hyperparameters={"batch-size": "1", "batch_size": "2", "a-b": "3"}))
    assert (found["SM_HP_BATCH-SIZE"], found["SM_HP_BATCH_SIZE"]) == ("1", "2")
    assert (found["SM_HP_A-B"], found["SM_HP_A_B"]) == ("3", "3")


@pytest.mark.parametrize(("given", "level"), [("10", "10"), ('"debug"', "10"), ("what", "20")])
def test_log_level_by_number_or_name(ml: MakeTree, given: str, level: str) -> None:
    assert variables(ml(hyperparameters={"sagemaker_container_log_level": given}))["SM_LOG_LEVEL"] == level
