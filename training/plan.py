"""Describes what this host runs for a job: the commands before the training, and the launcher's once all hosts are
ready."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from byo_container.container import discovery
from byo_container.container.accelerators import count_accelerators
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.process.child import Command
from byo_container.container.process.run import Stage
from byo_container.container.process.supervisor import Supervisor
from byo_container.training import script
from byo_container.training.artifacts import collect
from byo_container.training.cluster.session import ClusterSession
from byo_container.training.hugging_face import command as hugging_face
from byo_container.training.launchers import HostContext, Launcher
from byo_container.training.launchers.choose import choose, choose_for_handler, reject_undistributed_handler
from byo_container.training.launchers.mpi import ssh_port
from byo_container.training.launchers.network_interface import claim_port, find_interface
from byo_container.training.ports import Ports


@dataclass(frozen=True)
class Plan:
    """The stages to run one after another; and the handler (`package.module:Class`), None for a script."""

    stages: Sequence[Stage]
    handler: str | None = None


def plan(job: TrainingJob[dict[str, Any]], cluster: ClusterSession) -> Plan:
    """The plan for the job's script or handler. Brings a script's code to /opt/ml/code. Raises JobError."""
    launcher = choose(job)
    training_script = script.find_script(job)
    if training_script:
        script.fetch_code(training_script, job)
        *installs, program = script.commands(training_script, job)
        program = program if launcher.name == "tf_config" else hugging_face.adapted(program, job)
        return Plan([*([command] for command in installs), *launch_stages(job, program, launcher, cluster)])
    reference = discovery.find_for_training(job)
    launcher = choose_for_handler(job, launcher, discovery.launcher_of(reference.target))
    reject_undistributed_handler(job, launcher, reference.target)
    log.info("training %s, which %s asks for", reference.target, reference.source)
    return Plan(launch_stages(job, handler_command(reference), launcher, cluster), reference.target)


def handler_command(reference: discovery.HandlerReference) -> Command:
    """The process in which a handler trains."""
    # -P: the current folder may hold another byo_container.
    process = [sys.executable, "-P", "-m", "byo_container.training.processes.run_handler"]
    return Command([*process, reference.target, reference.source], reference.target)


def launch_stages(job: TrainingJob[Any], program: Command, launcher: Launcher, cluster: ClusterSession) -> list[Stage]:
    """The launcher's stages: what it prepares, and its commands, which are known when all hosts are ready. Raises
    JobError."""
    context = host_context(job, launcher, cluster)

    def launch(supervisor: Supervisor) -> list[Command]:
        payloads = cluster.rendezvous(launcher.payload(context), supervisor)
        if payloads is None:
            return []
        # Not before: the other hosts' names resolve only when all have started.
        here = dataclasses.replace(context, interface=find_interface(job.hosts))
        launcher.receive(job, program, here, payloads)
        commands = launcher.launch(job, program, here)
        if all(command.service for command in commands):
            cluster.services_only()
        return collect.with_artifacts(commands, job.paths) if collect.is_host_of_rank_0(job) else commands

    return [*([command] for command in launcher.prepare(job, context)), launch]


def host_context(job: TrainingJob[Any], launcher: Launcher, cluster: ClusterSession) -> HostContext:
    """What the launcher needs to know of this host, but for the network interface. Raises JobError."""
    ports = cluster.settings.ports
    if cluster.is_single:
        ports = Ports.with_master(claim_port(ports.master))
    return HostContext(
        scratch=cluster.ranks.scratch,
        ports=dataclasses.replace(ports, ssh=ssh_port(ports.ssh)),
        accelerators=count_accelerators(job.hosts.instance_type) if launcher.distributes else 0,
        has_mpi4py=bool(importlib.util.find_spec("mpi4py")),
    )
