"""Which hosts train together in a heterogeneous cluster (instance groups).

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/train-heterogeneous-cluster.html
"""

from __future__ import annotations

from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.suggest import did_you_mean

WANTED = "sagemaker_distribution_instance_groups"
# Each requests a kind of distribution; training/launchers/choose.py says which.
FLAGS = (
    "sagemaker_mpi_enabled",
    "sagemaker_torch_distributed_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
)


def team(job: TrainingJob[Any]) -> tuple[str, ...]:
    """The hosts that train together: those of the instance groups in sagemaker_distribution_instance_groups, or else
    all. Raises JobError."""
    wanted = job.platform.get(WANTED) or []
    groups = {str(group.get("instance_group_name")): group.get("hosts") or [] for group in job.hosts.groups}
    if not wanted or not groups:
        return job.hosts.all
    unknown = [name for name in wanted if name not in groups]
    if unknown or not isinstance(wanted, list):
        raise JobError(
            f"{job.paths.hyperparameters}: {WANTED} is {wanted!r}; "
            f"{did_you_mean(str(unknown[0] if unknown else wanted), groups)}"
        )
    members = {host for name in wanted for host in groups[name]}
    hosts = tuple(host for host in job.hosts.all if host in members)
    if not hosts:
        raise JobError(f"{job.paths.resource_config}: the instance groups {wanted!r} have no hosts of this job")
    return hosts


def is_distributed(job: TrainingJob[Any]) -> bool:
    """Whether a job requests a distribution, by our hyperparameter `launcher` or by those of SageMaker's SDKs."""
    launcher = job.launcher.get("launcher")
    if launcher is not None:
        return bool(launcher != "single")
    return any(str(job.platform.get(name)).lower() in ("true", "1") for name in FLAGS)


def distribution_groups(job: TrainingJob[Any]) -> list[str]:
    """The names of the instance groups that train together; empty where no distribution is requested."""
    wanted = job.platform.get(WANTED)
    if wanted or not is_distributed(job):
        return list(wanted or ())
    return [str(group.get("instance_group_name")) for group in job.hosts.groups] or [job.hosts.group]


def distribution_hosts(job: TrainingJob[Any]) -> list[str]:
    """The hosts of those groups; all hosts where the platform gives no groups, as in local mode. Raises JobError."""
    if job.hosts.groups and not distribution_groups(job):
        return []
    return list(team(job))
