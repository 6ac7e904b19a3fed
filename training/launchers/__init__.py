"""One file for each way of starting a job. A launcher is a pure function from the job to commands; what else it needs
(keys, a log-in) stands beside it, and training/launchers/choose.py says which one a job asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from byo_container.container import hyperparameters as hp
from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.process.child import Command
from byo_container.training.ports import Ports

Offers = Mapping[str, Mapping[str, Any]]
"""What each host has told the others, by its name."""


@dataclass(frozen=True)
class Place:
    """What a launcher must know of the host where it starts something, and cannot read from the job.

    `interface` is the network interface that leads to the other hosts, `scratch` a private folder that goes
    with the job, `ports` are the job's own, `accelerators` the host's GPUs or Neuron cores; `has_mpi4py` says whether
    programs may use it.
    """

    scratch: Path
    ports: Ports
    accelerators: int = 0
    interface: str | None = None
    has_mpi4py: bool = False


Launch = Callable[[TrainingJob[Any], Command, Place], list[Command]]


def _nothing_to_run(job: TrainingJob[Any], place: Place) -> list[Command]:
    return []


def _nothing_to_tell(place: Place) -> dict[str, Any]:
    return {}


def _nothing_to_accept(job: TrainingJob[Any], program: Command, place: Place, offers: Offers) -> None:
    return


@dataclass(frozen=True)
class Launcher:
    """A way of starting a job: `prepare` gives commands that come before, `offer` what the other hosts must know,
    `accept` uses what they told, and `launch` gives the commands of this host."""

    name: str
    launch: Launch
    distributes: bool = True
    prepare: Callable[[TrainingJob[Any], Place], list[Command]] = field(default=_nothing_to_run)
    offer: Callable[[Place], dict[str, Any]] = field(default=_nothing_to_tell)
    accept: Callable[[TrainingJob[Any], Command, Place, Offers], None] = field(default=_nothing_to_accept)


def flag(job: TrainingJob[Any], name: str) -> bool:
    """Whether a platform hyperparameter such as sagemaker_mpi_enabled is on. Raises JobError."""
    value = job.platform.get(name)
    try:
        return value is not None and bool(hp.convert(str(value), bool))
    except ValueError as error:
        raise JobError(f"{job.paths.hyperparameters}: {name} is {value!r}; it must be {error}") from None


def count(job: TrainingJob[Any], names: tuple[str, ...], otherwise: int) -> int:
    """The first of these hyperparameters that is given, a whole number of at least 1. Raises JobError."""
    for name in names:
        value = job.launcher.get(name, job.platform.get(name))
        if value is not None:
            try:
                return int(hp.convert(str(value), Annotated[int, hp.Range(1, 1024)]))
            except ValueError as error:
                raise JobError(f"{job.paths.hyperparameters}: {name} is {value!r}; it must be {error}") from None
    return otherwise
