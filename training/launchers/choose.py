"""Chooses a job's launcher: by our own hyperparameter `launcher`, or by the hyperparameters that SageMaker's SDKs
send."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from byo_container.container.accelerators import count_gpus
from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.suggest import did_you_mean
from byo_container.training.launchers import Launcher, mpi, single, tf_config, torchrun
from byo_container.training.launchers.options import is_enabled

SINGLE = Launcher("single", single.launch, distributes=False)
TF_CONFIG = Launcher("tf_config", tf_config.launch)
LAUNCHERS = {launcher.name: launcher for launcher in (SINGLE, torchrun.LAUNCHER, mpi.LAUNCHER, TF_CONFIG)}
# The first that is true counts, in the order of sagemaker-training-toolkit.
BY_FLAG = {
    "sagemaker_pytorch_xla_multi_worker_enabled": "torchrun",
    "sagemaker_mpi_enabled": "mpi",
    "sagemaker_torch_distributed_enabled": "torchrun",
    "sagemaker_pytorch_ddp_enabled": "torchrun",
    "sagemaker_distributed_dataparallel_enabled": "torchrun",
    "sagemaker_parameter_server_enabled": "tf_config",
    "sagemaker_multi_worker_mirrored_strategy_enabled": "tf_config",
}
REPLACED = {
    "sagemaker_distributed_dataparallel_enabled": "SageMaker's smddp library is not in this image",
    "sagemaker_pytorch_xla_multi_worker_enabled": "the torch_xla of SageMaker Training Compiler is not in this image",
}


def choose(job: TrainingJob[Any], environ: Mapping[str, str] = os.environ) -> Launcher:
    """The launcher for a job. Raises JobError."""
    name = job.launcher.get("launcher")
    if name is not None:
        if name not in LAUNCHERS:
            raise JobError(f"{job.paths.hyperparameters}: launcher is {name!r}; {did_you_mean(str(name), LAUNCHERS)}")
        return LAUNCHERS[str(name)]
    if environ.get("SAGEMAKER_TRAINING_MODULE"):
        return SINGLE  # a framework module reads the SDKs' hyperparameters and starts the ranks itself
    for flag, launcher in BY_FLAG.items():
        if is_enabled(job, flag):
            if flag in REPLACED:
                log.warning("%s, which %s asks for: torch.distributed takes its place", REPLACED[flag], flag)
            return LAUNCHERS[launcher]
    return SINGLE


def choose_for_handler(job: TrainingJob[Any], launcher: Launcher, wanted: str | None) -> Launcher:
    """The launcher for a handler that is registered with the launcher `wanted` for several hosts or GPUs. What the job
    itself chooses, `launcher`, goes before. Raises JobError."""
    if wanted is None or launcher is not SINGLE or "launcher" in job.launcher:
        return launcher
    if wanted not in LAUNCHERS:
        raise JobError(f"a handler is registered with the launcher {wanted!r}; {did_you_mean(wanted, LAUNCHERS)}")
    return LAUNCHERS[wanted] if len(job.hosts.all) > 1 or count_gpus() > 1 else launcher


def reject_undistributed_handler(job: TrainingJob[Any], launcher: Launcher, target: str) -> None:
    """Raises JobError where every host would train a model of its own by a handler."""
    if len(job.hosts.all) > 1 and not launcher.distributes:
        names = ", ".join(name for name, known in LAUNCHERS.items() if known.distributes)
        raise JobError(
            f"{target} was given {len(job.hosts.all)} hosts and the launcher {launcher.name}: every host would train a "
            f"model of its own; set the hyperparameter launcher to one of {names}, or ask for one host"
        )
