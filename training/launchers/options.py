"""Reads the hyperparameters that choose and configure launchers: our own and SageMaker's."""

from __future__ import annotations

from typing import Annotated, Any

from byo_container.container import hyperparameters as hp
from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob

PROCESSES_PER_HOST = ("processes_per_host", "sagemaker_mpi_num_of_processes_per_host")


def is_enabled(job: TrainingJob[Any], name: str) -> bool:
    """Whether a platform hyperparameter such as sagemaker_mpi_enabled is true. Raises JobError."""
    value = job.platform.get(name)
    try:
        return value is not None and bool(hp.convert(str(value), bool))
    except ValueError as error:
        raise JobError(f"{job.paths.hyperparameters}: {name} is {value!r}; it must be {error}") from None


def process_count(job: TrainingJob[Any], names: tuple[str, ...], otherwise: int) -> int:
    """The first of the hyperparameters `names` that is given, a whole number from 1 to 1024. Raises JobError."""
    for name in names:
        value = job.launcher.get(name, job.platform.get(name))
        if value is not None:
            try:
                return int(hp.convert(str(value), Annotated[int, hp.Range(1, 1024)]))
            except ValueError as error:
                raise JobError(f"{job.paths.hyperparameters}: {name} is {value!r}; it must be {error}") from None
    return otherwise
