"""Jobs as data, for launchers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from byo_container.container.job import Hosts, TrainingJob
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.training.launchers import HostContext
from byo_container.training.ports import Ports

ENV = {"SM_HOSTS": "[]"}
PROGRAM = Command([sys.executable, "train.py", "--lr", "1"], "train.py", ENV, Path("/opt/ml/code"))
SINGLE_HOST = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "20001"}
SEVERAL_HOSTS = {
    "NCCL_SOCKET_IFNAME": "eth0",
    "GLOO_SOCKET_IFNAME": "eth0",
    "MASTER_ADDR": "algo-1",
    "MASTER_PORT": "20001",
}
RANKS = {"TRAINING_RANKS": "/tmp/scratch", "TRAINING_PROGRAM": "train.py"}  # noqa: S108
EVERY_HOST = {"PYTHONUNBUFFERED": "1", "SM_MASTER_ADDR": "algo-1", "SM_MASTER_PORT": "20001"}
SIZES = [(hosts, gpus) for hosts in (1, 2, 16) for gpus in (0, 1, 8)]


def names(count: int) -> tuple[str, ...]:
    return tuple(f"algo-{number}" for number in range(1, count + 1))


def job(count: int = 1, current: int = 1, groups: dict[str, list[str]] | None = None, **given: Any) -> TrainingJob[Any]:
    """The job as host number `current` of `count` sees it. `given` are hyperparameters as they are decoded."""
    ours = ("launcher", "processes_per_host")
    return TrainingJob(
        paths=Paths(),
        hyperparameters={},
        channels={},
        hosts=Hosts(
            current=f"algo-{current}",
            all=names(count),
            groups=tuple({"instance_group_name": name, "hosts": hosts} for name, hosts in (groups or {}).items()),
        ),
        launcher={name: value for name, value in given.items() if name in ours},
        platform={name: value for name, value in given.items() if name not in ours},
    )


def context(gpus: int = 0, interface: str | None = "eth0") -> HostContext:
    return HostContext(Path("/tmp/scratch"), Ports.starting_at(20_000), gpus, interface)  # noqa: S108


def only(commands: list[Command]) -> Command:
    (command,) = commands
    return command
