"""Which launcher a job gets, by what SageMaker's SDKs send and by our own hyperparameter."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.instance_groups import FLAGS, team
from byo_container.container.log import log
from byo_container.training.launchers.choose import (
    BY_FLAG,
    SINGLE,
    choose,
    choose_for_handler,
    reject_undistributed_handler,
)
from tests.training.support.jobs import job, names

HETERO = {"cpus": ["algo-3"], "gpus": ["algo-1", "algo-2"]}


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({}, "single"),
        ({"launcher": "torchrun"}, "torchrun"),
        ({"launcher": "mpi"}, "mpi"),
        ({"launcher": "single", "sagemaker_mpi_enabled": True}, "single"),
        ({"sagemaker_mpi_enabled": True}, "mpi"),
        ({"sagemaker_mpi_enabled": "True"}, "mpi"),
        ({"sagemaker_mpi_enabled": False}, "single"),
        ({"sagemaker_mpi_enabled": "false"}, "single"),
        ({"sagemaker_torch_distributed_enabled": True, "sagemaker_instance_type": "ml.p4d.24xlarge"}, "torchrun"),
        ({"sagemaker_pytorch_ddp_enabled": True}, "torchrun"),
        ({"sagemaker_distributed_dataparallel_enabled": True}, "torchrun"),
        ({"sagemaker_pytorch_xla_multi_worker_enabled": True}, "torchrun"),
        ({"sagemaker_parameter_server_enabled": True}, "tf_config"),
        ({"sagemaker_multi_worker_mirrored_strategy_enabled": True}, "tf_config"),
    ],
)
def test_launcher_by_hyperparameters(given: dict[str, Any], chosen: str) -> None:
    assert choose(job(2, **given)).name == chosen


def test_framework_module_gets_the_single_launcher() -> None:
    environ = {"SAGEMAKER_TRAINING_MODULE": "framework:main"}
    assert choose(job(2, sagemaker_mpi_enabled=True), environ) is SINGLE
    assert choose(job(2, sagemaker_pytorch_xla_multi_worker_enabled=True), environ) is SINGLE
    assert choose(job(2, launcher="torchrun"), environ).name == "torchrun"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"launcher": "torchrum"},
            "launcher is 'torchrum'; did you mean 'torchrun'? known are: mpi, single, tf_config",
        ),
        ({"sagemaker_mpi_enabled": "maybe"}, "sagemaker_mpi_enabled is 'maybe'; it must be true or false"),
    ],
)
def test_unknown_or_unsupported_launcher_is_rejected(given: dict[str, Any], said: str) -> None:
    with pytest.raises(JobError, match=r"/opt/ml/input/config/hyperparameters.json: ") as error:
        choose(job(2, **given))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("flag", "library"),
    [
        ("sagemaker_distributed_dataparallel_enabled", "SageMaker's smddp library"),
        ("sagemaker_pytorch_xla_multi_worker_enabled", "the torch_xla of SageMaker Training Compiler"),
    ],
)
def test_libraries_are_replaced_with_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, flag: str, library: str
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    given: dict[str, Any] = {flag: True}
    with caplog.at_level(logging.WARNING):
        choose(job(2, **given))
    expected = f"{library} is not in this image, which {flag} asks for: torch.distributed takes its place"
    assert [record.getMessage() for record in caplog.records] == [expected]


def test_handler_on_several_hosts_needs_a_distributing_launcher() -> None:
    reject_undistributed_handler(job(1), SINGLE, "my:Handler")
    reject_undistributed_handler(job(2, launcher="mpi"), choose(job(2, launcher="mpi")), "my:Handler")
    with pytest.raises(JobError, match=r"my:Handler was given 2 hosts and the launcher single: .* torchrun, mpi"):
        reject_undistributed_handler(job(2), SINGLE, "my:Handler")


@pytest.mark.parametrize(
    ("hosts", "given", "wanted", "chosen"),
    [
        (2, {}, "torchrun", "torchrun"),
        (1, {}, "torchrun", "single"),
        (2, {}, None, "single"),
        (2, {"launcher": "mpi"}, "torchrun", "mpi"),
        (2, {"sagemaker_mpi_enabled": True}, "torchrun", "mpi"),
        (2, {"launcher": "single"}, "torchrun", "single"),
    ],
)
def test_registered_launcher_of_a_handler_is_used_last(
    hosts: int, given: dict[str, Any], wanted: str | None, chosen: str
) -> None:
    asking_job = job(hosts, **given)
    assert choose_for_handler(asking_job, choose(asking_job), wanted).name == chosen


def test_unknown_registered_launcher_is_rejected() -> None:
    with pytest.raises(JobError, match="registered with the launcher 'torchrum'; did you mean 'torchrun'"):
        choose_for_handler(job(2), SINGLE, "torchrum")


@pytest.mark.parametrize(
    ("wanted", "members"),
    [(None, names(3)), ([], names(3)), (["gpus"], names(2)), (["cpus", "gpus"], names(3)), (["cpus"], ("algo-3",))],
)
def test_hosts_of_the_instance_groups_train_together(wanted: Any, members: tuple[str, ...]) -> None:
    given = {} if wanted is None else {"sagemaker_distribution_instance_groups": wanted}
    assert team(job(3, groups=HETERO, **given)) == members


@pytest.mark.parametrize("wanted", [["gpu"], "gpu"])
def test_unknown_instance_group_is_rejected(wanted: Any) -> None:
    with pytest.raises(JobError, match=r"sagemaker_distribution_instance_groups is .*known are: cpus, gpus"):
        team(job(3, groups=HETERO, sagemaker_distribution_instance_groups=wanted))


def test_distribution_flags_agree_with_the_environment() -> None:
    assert sorted(FLAGS) == sorted(BY_FLAG)
