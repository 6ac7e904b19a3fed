"""The platform's config files: read and checked once, every fault named with file and place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.paths import Paths
from tests.support.tree import ONE_HOST, Tree

MakeTree = Callable[..., Tree]


@pytest.mark.parametrize("name", ["hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"])
def test_minimal_content_that_the_error_for_a_missing_config_file_names_is_enough(ml: MakeTree, name: str) -> None:
    paths = ml().paths
    path = paths.config / name
    path.unlink()
    with pytest.raises(JobError, match="is missing; the platform writes it; by hand, the least is ") as refused:
        TrainingJob.read(paths)
    path.write_text(str(refused.value).rpartition("the least is ")[2])
    assert TrainingJob.read(paths).hosts.all == ("algo-1",)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"../up": {}}, "'../up' is no channel name"),
        ({"..": {}}, "'..' is no channel name"),
        ({"": {}}, "'' is no channel name"),
        ({"x" * 65: {}}, "is no channel name"),
        ({"train": "File"}, 'train should be an object such as {"TrainingInputMode": "File"}'),
        (
            {"train": {"TrainingInputMode": "file"}},
            "train.TrainingInputMode is 'file'; it must be one of File, FastFile, Pipe",
        ),
        ({"train": {"RecordWrapperType": 3}}, "train.RecordWrapperType is 3; it must be one of None, RecordIO"),
        ({"train": {"TrainingInputMode": "File"}}, "'train': "),
    ],
)
def test_bad_channel_is_refused(ml: MakeTree, inputs: dict[str, Any], said: str) -> None:
    tree = ml(inputs=inputs)
    with pytest.raises(JobError) as refused:
        TrainingJob.read(tree.paths)
    assert said in str(refused.value)
    assert str(tree.paths.input_data_config) in str(refused.value)


def test_unknown_channel_is_refused_with_a_suggestion(ml: MakeTree) -> None:
    job = TrainingJob.read(ml(channels={"training": {}, "test": {}}).paths)
    with pytest.raises(JobError, match=r"called 'trainng'.* names test, training \(is 'training' meant to be it\?\)"):
        job.channel("trainng")
    with pytest.raises(JobError, match="names none"):
        TrainingJob.read(_rewritten(job.paths, {})).channel("training")


def _rewritten(paths: Paths, inputs: dict[str, Any]) -> Paths:
    paths.input_data_config.write_text(json.dumps(inputs))
    return paths


@dataclass(frozen=True)
class Declared:
    epochs: int = 1


def test_platform_hyperparameters_are_not_given_to_handlers(ml: MakeTree) -> None:
    given = {
        "epochs": "3",
        "model_handler": '"my.module:Handler"',
        "sagemaker_program": '"train.py"',
        "sagemaker_region": "eu-west-1",
        "_tuning_objective_metric": "validation:loss",
    }
    job = TrainingJob.read(ml(hyperparameters=given).paths)
    assert job.hyperparameters == {"epochs": 3}
    assert job.handler_name == "my.module:Handler"
    assert job.platform == {
        "sagemaker_program": "train.py",
        "sagemaker_region": "eu-west-1",
        "_tuning_objective_metric": "validation:loss",
    }
    assert job.declare(Declared).hyperparameters == Declared(3)


def test_hyperparameters_may_be_plain_values(ml: MakeTree) -> None:
    job = TrainingJob.read(ml(hyperparameters={"epochs": 3, "deep": True, "units": [1, 2], "none": None}).paths)
    assert job.hyperparameters == {"epochs": 3, "deep": True, "units": [1, 2], "none": None}


OBSERVED = {  # on SageMaker, December 2025
    "current_host": "algo-2",
    "current_instance_type": "ml.c5.xlarge",
    "current_group_name": "second",
    "hosts": ["algo-1", "algo-2"],
    "instance_groups": [
        {"instance_group_name": "first", "instance_type": "ml.c5.xlarge", "hosts": ["algo-1"]},
        {"instance_group_name": "second", "instance_type": "ml.c5.xlarge", "hosts": ["algo-2"]},
    ],
    "network_interface_name": "eth1",
    "topology": None,
}
LOCAL_V2 = {**ONE_HOST, "current_instance_type": "local"}
LOCAL_V3 = {**LOCAL_V2, "network_interface_name": "ethwe"}


@pytest.mark.parametrize(
    ("resources", "interface", "group", "rank"),
    [(OBSERVED, "eth1", "second", 1), (LOCAL_V2, "eth0", "homogeneousCluster", 0), (LOCAL_V3, "ethwe", None, 0)],
)
def test_resource_config_with_and_without_groups(
    ml: MakeTree, resources: dict[str, Any], interface: str, group: str | None, rank: int
) -> None:
    hosts = TrainingJob.read(ml(resources=resources).paths).hosts
    assert (hosts.network_interface, hosts.rank, hosts.is_master) == (interface, rank, rank == 0)
    assert hosts.group == (group or "homogeneousCluster")
    assert [dict(found) for found in hosts.groups] == resources.get("instance_groups", [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hosts": []}, "hosts is []; it must be a list of host names"),
        ({"hosts": "algo-1"}, "hosts is 'algo-1'; it must be a list"),
        ({"hosts": None}, "hosts is None"),
        ({"current_host": "algo-3"}, "current_host is 'algo-3'; it must be one of hosts, algo-1"),
        ({"instance_groups": ["first"]}, "instance_groups is ['first']; it must be a list of objects"),
    ],
)
def test_bad_resource_config_is_refused(ml: MakeTree, change: dict[str, Any], said: str) -> None:
    tree = ml(resources={**ONE_HOST, **change})
    with pytest.raises(JobError) as refused:
        TrainingJob.read(tree.paths)
    assert said in str(refused.value)
    assert str(tree.paths.resource_config) in str(refused.value)


def test_sagemaker_base_dir_moves_the_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Paths.from_environment({}).model == Path("/opt/ml/model")
    assert Paths.from_environment({"SAGEMAKER_BASE_DIR": "mine"}).failure == tmp_path / "mine/output/failure"
