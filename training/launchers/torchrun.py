"""PyTorch's own launcher, on one host or several:

    python -m torch.distributed.run --nnodes=2 --nproc_per_node=8 --node_rank=0 --master_addr=algo-1 … train.py

A process for each GPU, one where there is none, or as many as `processes_per_host` says.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from container.child import Command
from container.groups import team
from container.job import TrainingJob
from training.launchers import Place, count, single
from training.rank import WORDS, Ranks


def launch(job: TrainingJob[Any], program: Command, place: Place) -> list[Command]:
    """torchrun for this host. A host outside the distribution's instance groups runs the program alone."""
    hosts = team(job)
    if job.hosts.current not in hosts:
        return single.launch(job, program, place)
    words = [
        *[sys.executable, "-m", "torch.distributed.run"],
        f"--nnodes={len(hosts)}",
        f"--nproc_per_node={count(job, ('processes_per_host',), place.gpus or 1)}",
        f"--node_rank={hosts.index(job.hosts.current)}",
        f"--master_addr={hosts[0] if len(hosts) > 1 else '127.0.0.1'}",
        f"--master_port={place.port}",
        "--no_python",  # so that a module, a package or a shell script is started like a file
    ]
    env = {
        **single.network(job, place),
        **Ranks(place.scratch).variables(program.name),
        **program.env,
    }
    argv = [*words, *WORDS, *program.argv]
    name = f"torchrun {program.name}"
    return [dataclasses.replace(program, argv=argv, name=name, env=env, capture=True, leads_ranks=True)]
