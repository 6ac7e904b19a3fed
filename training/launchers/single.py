"""The default launcher: one process on each host. A script may find the other hosts itself (SM_HOSTS, MASTER_ADDR), as
on SageMaker."""

from __future__ import annotations

import dataclasses
from typing import Any

from byo_container.container.instance_groups import team
from byo_container.container.job import TrainingJob
from byo_container.container.process.child import Command
from byo_container.training.launchers import HostContext

# Python buffers what it writes to a pipe, and lines of the log would come late.
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
LOOPBACK = "127.0.0.1"
"""The address of a single host, whose name may not resolve: in `docker run` there is no algo-1."""


def launch(job: TrainingJob[Any], program: Command, context: HostContext) -> list[Command]:
    """The program itself, its output captured for the failure file."""
    return [dataclasses.replace(program, env={**network_variables(job, context), **program.env}, capture=True)]


def network_variables(job: TrainingJob[Any], context: HostContext) -> dict[str, str]:
    """The variables by which frameworks find the other hosts. The interface is set wherever it is known: where a host's
    own name resolves to 127.0.0.1, gloo would give that address to the others, which would then hang."""
    first, port = team(job)[0], str(context.ports.master)
    is_single = len(job.hosts.all) == 1
    variables = {**UNBUFFERED, "MASTER_ADDR": LOOPBACK if is_single else first, "MASTER_PORT": port}
    variables |= {"SM_MASTER_ADDR": first, "SM_MASTER_PORT": port}  # the names of SageMaker's SDK, version 3
    if context.interface and not is_single:
        variables |= {"NCCL_SOCKET_IFNAME": context.interface, "GLOO_SOCKET_IFNAME": context.interface}
    return variables
