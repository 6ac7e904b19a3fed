"""PyTorch's own launcher, on one host or several:

    python -m torch.distributed.run --nnodes=2 --nproc_per_node=8 --node_rank=0 --master_addr=algo-1 … train.py

Each GPU or Neuron core gets a process, a host without any gets one, unless `processes_per_host` says otherwise.

RUN_NEURON_PARALLEL_COMPILE=1 runs it under AWS's neuron_parallel_compile, which trains a few steps and compiles the
graphs that it meets. Source:
https://github.com/aws/sagemaker-training-toolkit/blob/master/src/sagemaker_training/torch_distributed.py
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.instance_groups import team
from byo_container.container.job import TrainingJob
from byo_container.container.process.child import Command
from byo_container.container.resources import cores
from byo_container.training.launchers import HostContext, Launcher, efa, single
from byo_container.training.launchers.options import PROCESSES_PER_HOST, process_count
from byo_container.training.processes.rank import RANK_COMMAND, Ranks

COMPILE = "neuron_parallel_compile"


def compiles() -> bool:
    """Whether the job compiles for Neuron cores instead of training."""
    return os.environ.get("RUN_NEURON_PARALLEL_COMPILE") == "1"


def prepare(job: TrainingJob[Any], context: HostContext) -> list[Command]:
    """No commands. Raises JobError where the job needs the compiler and it is not installed."""
    if compiles() and not shutil.which(COMPILE):
        raise JobError(
            f"RUN_NEURON_PARALLEL_COMPILE is 1, and {COMPILE} is not installed here: it comes with torch-neuronx, for "
            "instances with Neuron cores (ml.trn1, ml.trn2)"
        )
    return []


def launch(job: TrainingJob[Any], program: Command, context: HostContext) -> list[Command]:
    """torchrun for this host. A host outside the distribution's instance groups runs the program alone."""
    hosts = team(job)
    if job.hosts.current not in hosts:
        return single.launch(job, program, context)
    count = process_count(job, PROCESSES_PER_HOST, context.accelerators or 1)
    words = [
        *([COMPILE] if compiles() else []),
        *[sys.executable, "-m", "torch.distributed.run"],
        f"--nnodes={len(hosts)}",
        f"--nproc_per_node={count}",
        f"--node_rank={hosts.index(job.hosts.current)}",
        f"--master_addr={hosts[0] if len(hosts) > 1 else single.LOOPBACK}",
        f"--master_port={context.ports.master}",
        "--no_python",  # so that a module, a package or a shell script is started like a file
    ]
    env = {
        **single.network_variables(job, context),
        **efa.variables(job),
        **Ranks(context.scratch).variables(program.name),
        **_threads(count),
        **program.env,
    }
    argv = [*words, *RANK_COMMAND, *program.argv]
    name = f"torchrun {program.name}"
    return [dataclasses.replace(program, argv=argv, name=name, env=env, capture=True, spared_on_stop=True)]


def _threads(count: int) -> dict[str, str]:
    """A share of the cores for each of several ranks, where nobody sets it: torchrun would give each one core."""
    if count == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cores() // count))}


LAUNCHER = Launcher("torchrun", launch, prepare=prepare)
