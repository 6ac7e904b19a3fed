"""TensorFlow, whose processes find each other by the variable TF_CONFIG.

A script that uses ParameterServerStrategy (training/launchers/parameter_server.py) gets a parameter server and a
worker on
every host, and runs on the first one, as the chief. Servers and workers run nothing but tf.distribute.Server, and are
ended when the chief has ended. Any other script runs on every host, as a worker, inside the scope of
MultiWorkerMirroredStrategy (training/processes/tf_strategy.py), so that one that knows nothing of strategies trains
as one too;
also under sagemaker_parameter_server_enabled, where a Keras script would else train on every host alone. A script that
knows both gets the latter by sagemaker_multi_worker_mirrored_strategy_enabled.

Both need tf-keras; Keras 3 cannot train on several hosts. One host alone has it too where it is installed, so that a
script gives the same on one host as on two.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.instance_groups import team
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.process.child import Command
from byo_container.training.launchers import HostContext, single
from byo_container.training.launchers.options import is_enabled
from byo_container.training.launchers.parameter_server import find_parameter_server, program_of

STRATEGY = ("-m", "byo_container.training.processes.tf_strategy")
LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
MIRRORED = "sagemaker_multi_worker_mirrored_strategy_enabled"


def launch(job: TrainingJob[Any], program: Command, context: HostContext) -> list[Command]:
    """The processes of this host. A host outside the distribution's instance groups needs no TF_CONFIG; nor does one
    host alone, unless its script wants parameter servers. Raises JobError."""
    hosts = team(job)
    alone = len(hosts) == 1
    if job.hosts.current not in hosts:
        return single.launch(job, program, context)
    if alone and program.argv[0] != sys.executable:
        return one_host(job, program, context)
    found = parameter_server_in(job, program)
    if found and is_enabled(job, MIRRORED):
        log.info("MultiWorkerMirroredStrategy, because %s is on, though %s", MIRRORED, found)
    elif found:
        log.info("a parameter server on every host, because %s", found)
        return parameter_server(job, program, context, ["127.0.0.1"] if len(job.hosts.all) == 1 else hosts)
    elif not alone:
        log.info("MultiWorkerMirroredStrategy, because %s uses no ParameterServerStrategy", program.name)
    return one_host(job, program, context) if alone else mirrored(job, program, context, hosts)


def one_host(job: TrainingJob[Any], program: Command, context: HostContext) -> list[Command]:
    """The program itself, with the Keras that several hosts would give it, unless the job says otherwise."""
    if LEGACY_KERAS not in os.environ and importlib.util.find_spec("tf_keras"):
        program = dataclasses.replace(program, env={LEGACY_KERAS: "1", **program.env})
    return single.launch(job, program, context)


def parameter_server_in(job: TrainingJob[Any], program: Command) -> str:
    """Where the program uses the strategy, for people; empty where it does not. All hosts have the same code.
    Raises JobError."""
    words = _python_words(program)
    if words[0] == "-P":  # a handler
        return ""
    found = find_parameter_server(program_of(words, job.paths.code), job.paths.code)
    return f"{found.path.name}, line {found.line}, uses ParameterServerStrategy" if found else ""


def mirrored(job: TrainingJob[Any], program: Command, context: HostContext, hosts: Sequence[str]) -> list[Command]:
    """Every host a worker. Only the first one's model is kept: the others' goes to the scratch folder."""
    rank = hosts.index(job.hosts.current)
    cluster = {"worker": [f"{host}:{context.ports.master}" for host in hosts]}
    env = {**_common(job, program, context), "TF_CONFIG": tf_config(cluster, "worker", rank)}
    sharded = sharded_channels(job)
    if sharded:
        env["TRAINING_SHARDED_CHANNELS"] = ", ".join(sharded)
    words = _python_words(program)
    if rank:
        spare = str(context.scratch / "model")
        env |= {"SM_MODEL_DIR": spare, "TRAINING_SPARE_MODEL_DIR": spare}
        model = {str(job.paths.model), f"{job.paths.model}/"}
        words = [spare if word in model else word for word in words]
    argv = [sys.executable, "-P", *STRATEGY, str(job.paths.model), *words]
    return [dataclasses.replace(program, argv=argv, name=f"{program.name} (worker {rank})", env=env, capture=True)]


def sharded_channels(job: TrainingJob[Any]) -> list[str]:
    """The channels of which every host has other files.
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html"""
    inputs = job.raw.get("inputdataconfig", {})
    return sorted(name for name, told in inputs.items() if told.get("S3DistributionType") == "ShardedByS3Key")


def parameter_server(
    job: TrainingJob[Any], program: Command, context: HostContext, hosts: Sequence[str]
) -> list[Command]:
    """A worker and a parameter server on every host, and the chief on the first one besides."""
    cluster = {
        "chief": [f"{hosts[0]}:{context.ports.chief}"],
        "ps": [f"{host}:{context.ports.parameter_server}" for host in hosts],
        "worker": [f"{host}:{context.ports.master}" for host in hosts],
    }
    # The processes of a host share its graphics processors, each of which the first one would else take whole.
    common = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", **_common(job, program, context)}

    def server(task: str, index: int, env: dict[str, str]) -> Command:
        argv = [sys.executable, "-P", *STRATEGY, "--server"]
        env = {**common, **env, "TF_CONFIG": tf_config(cluster, task, index)}
        return dataclasses.replace(
            program,
            argv=argv,
            name=f"TensorFlow's {task} {index}",
            env=env,
            capture=True,
            service=True,
            needed_by="the other hosts",
        )

    rank = hosts.index(job.hosts.current) if len(hosts) > 1 else 0
    commands = [server("ps", rank, {"CUDA_VISIBLE_DEVICES": ""}), server("worker", rank, {})]
    if rank == 0:
        argv = [sys.executable, "-P", *STRATEGY, "--chief", *_python_words(program)]
        env = {**common, "TF_CONFIG": tf_config(cluster, "chief", 0)}
        commands.append(dataclasses.replace(program, argv=argv, name=f"{program.name} (chief)", env=env, capture=True))
    return commands


def tf_config(cluster: dict[str, list[str]], task: str, index: int) -> str:
    """The variable's value: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_variable"""
    return json.dumps({"cluster": cluster, "task": {"type": task, "index": index}, "environment": "cloud"})


def _common(job: TrainingJob[Any], program: Command, context: HostContext) -> dict[str, str]:
    return {**single.network(job, context), LEGACY_KERAS: "1", **program.env}


def _python_words(program: Command) -> list[str]:
    """`train.py --lr 1` or `-m train --lr 1`. Raises JobError for what is not run by Python."""
    if program.argv[0] != sys.executable:
        raise JobError(
            f"{program.name} cannot be distributed by TensorFlow: it is no Python program, and every host would have "
            "trained alone; name a .py file in sagemaker_program"
        )
    return list(program.argv[1:])
