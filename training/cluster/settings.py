"""What a job's environment says of its cluster of hosts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from byo_container.container.env_reader import EnvReader
from byo_container.container.job import TrainingJob
from byo_container.training.cluster.handshake import job_name
from byo_container.training.ports import Ports


@dataclass(frozen=True)
class ClusterSettings:
    """`ports` are the job's own. All hosts must have joined in `join_timeout_s`; a host that sends nothing for
    `heartbeat_timeout_s` is lost; after SIGTERM the training code has `stop_grace_s`."""

    ports: Ports
    join_timeout_s: float = 900.0
    heartbeat_timeout_s: float = 5.0
    stop_grace_s: float = 118.0


def read_settings(
    job: TrainingJob[Any], stop_grace_s: float, environ: Mapping[str, str] = os.environ
) -> ClusterSettings:
    """The settings by TRAINING_PEERS_PORT, _WAIT and _SILENCE. Raises JobError."""
    read = EnvReader(environ)
    first = Ports.of_job(job_name(job, environ)).coordinator
    return ClusterSettings(
        ports=Ports.starting_at(read.whole_number("TRAINING_PEERS_PORT", first, 1, 65_535)),
        join_timeout_s=read.number("TRAINING_PEERS_WAIT", ClusterSettings.join_timeout_s, 0, 86_400),
        heartbeat_timeout_s=read.number("TRAINING_PEERS_SILENCE", ClusterSettings.heartbeat_timeout_s, 2, 3600),
        stop_grace_s=stop_grace_s,
    )
