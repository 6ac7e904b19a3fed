"""The ways of starting a job, a module each.

A launcher's `launch` is a pure function from the job, the user's program and the host's context to the commands that
this host runs. training/launchers/choose.py chooses the launcher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from byo_container.container.job import TrainingJob
from byo_container.container.process.child import Command
from byo_container.training.ports import Ports

Payloads = Mapping[str, Mapping[str, Any]]
"""The rendezvous payload of each host, by the host's name."""


@dataclass(frozen=True)
class HostContext:
    """What a launcher needs to know of this host beside the job."""

    scratch: Path
    """A private folder, removed with the job."""
    ports: Ports
    accelerators: int = 0
    """The number of GPUs or Neuron cores."""
    interface: str | None = None
    """The network interface that leads to the other hosts; None where it is not known."""
    has_mpi4py: bool = False
    """Whether mpi4py is installed."""


Launch = Callable[[TrainingJob[Any], Command, HostContext], list[Command]]
"""From the job and the user's program to the commands of this host."""


def _no_commands(job: TrainingJob[Any], context: HostContext) -> list[Command]:
    return []


def _no_payload(context: HostContext) -> dict[str, Any]:
    return {}


def _ignore_payloads(job: TrainingJob[Any], program: Command, context: HostContext, payloads: Payloads) -> None:
    return


@dataclass(frozen=True)
class Launcher:
    """A way of starting a job. Its functions are called in this order: `prepare` gives commands that run first,
    `payload` what this host sends to the others, `receive` writes down what the others sent, and `launch` gives the
    commands that train."""

    name: str
    launch: Launch
    distributes: bool = True
    """Whether all hosts train one model together."""
    prepare: Callable[[TrainingJob[Any], HostContext], list[Command]] = field(default=_no_commands)
    payload: Callable[[HostContext], dict[str, Any]] = field(default=_no_payload)
    receive: Callable[[TrainingJob[Any], Command, HostContext, Payloads], None] = field(default=_ignore_payloads)
