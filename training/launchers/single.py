"""One process on each host: `train`, when nothing else is asked for. A script may find the other hosts itself
(SM_HOSTS, MASTER_ADDR), as it does on SageMaker."""

from __future__ import annotations

import dataclasses
from typing import Any

from byo_container.container.instance_groups import team
from byo_container.container.job import TrainingJob
from byo_container.container.process.child import Command
from byo_container.training.launchers import HostContext

# A pipe would make Python hold lines back, and the log would come in lumps.
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
ALONE = "127.0.0.1"
"""The address of a host that is alone, whose name may lead nowhere: `docker run` does not know algo-1."""


def launch(job: TrainingJob[Any], program: Command, context: HostContext) -> list[Command]:
    """The program itself, its output kept for the failure file."""
    return [dataclasses.replace(program, env={**network(job, context), **program.env}, capture=True)]


def network(job: TrainingJob[Any], context: HostContext) -> dict[str, str]:
    """The variables by which frameworks find the other hosts. The interface is always told where it is known: a host
    whose own name resolves to 127.0.0.1 would make gloo offer that address to the others, who then hang."""
    first, port = team(job)[0], str(context.ports.master)
    variables = {**UNBUFFERED, "SM_MASTER_ADDR": first, "SM_MASTER_PORT": port}  # as V3 of SageMaker's SDK calls them
    alone = len(job.hosts.all) == 1
    variables |= {"MASTER_ADDR": ALONE if alone else first, "MASTER_PORT": port}
    if context.interface and not alone:
        variables |= {"NCCL_SOCKET_IFNAME": context.interface, "GLOO_SOCKET_IFNAME": context.interface}
    return variables
