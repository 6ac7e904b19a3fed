"""TensorFlow, whose processes find each other by the variable TF_CONFIG.

A script that uses ParameterServerStrategy (parameter_server.py) gets a parameter server and a worker on every host, and
runs on the first host, as the chief. Servers and workers run only tf.distribute.Server, and are stopped when the chief
has ended.

Any other script runs on every host, as a worker, inside the scope of MultiWorkerMirroredStrategy
(training/processes/tf_strategy.py), so that a script without a strategy of its own is distributed too. This holds under
sagemaker_parameter_server_enabled as well, where a Keras script would otherwise train a model on every host. A script
that supports both strategies gets this one by sagemaker_multi_worker_mirrored_strategy_enabled.

Both need tf-keras, because Keras 3 cannot train on several hosts. A single host gets it too where it is installed, so
that a script behaves the same on one host as on two.
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
from byo_container.training.launchers.parameter_server import find_parameter_server
from byo_container.training.program_files import program_of

STRATEGY = ("-m", "byo_container.training.processes.tf_strategy")
LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
MIRRORED = "sagemaker_multi_worker_mirrored_strategy_enabled"


def launch(job: TrainingJob[Any], program: Command, context: HostContext) -> list[Command]:
    """The processes of this host. A host outside the distribution's instance groups gets no TF_CONFIG; nor does a
    single host, unless its script uses parameter servers. Raises JobError."""
    hosts = team(job)
    is_single = len(hosts) == 1
    if job.hosts.current not in hosts:
        return single.launch(job, program, context)
    if is_single and program.argv[0] != sys.executable:
        return single_host(job, program, context)
    reference = parameter_server_in(job, program)
    if reference and is_enabled(job, MIRRORED):
        log.info("MultiWorkerMirroredStrategy, because %s is on, though %s", MIRRORED, reference)
    elif reference:
        log.info("a parameter server on every host, because %s", reference)
        return parameter_server(job, program, context, ["127.0.0.1"] if len(job.hosts.all) == 1 else hosts)
    elif not is_single:
        log.info("MultiWorkerMirroredStrategy, because %s uses no ParameterServerStrategy", program.name)
    return single_host(job, program, context) if is_single else mirrored(job, program, context, hosts)


def single_host(job: TrainingJob[Any], program: Command, context: HostContext) -> list[Command]:
    """The program itself, with the Keras that it would get on several hosts, unless the environment says otherwise."""
    if LEGACY_KERAS not in os.environ and importlib.util.find_spec("tf_keras"):
        program = dataclasses.replace(program, env={LEGACY_KERAS: "1", **program.env})
    return single.launch(job, program, context)


def parameter_server_in(job: TrainingJob[Any], program: Command) -> str:
    """A sentence that says where the program uses the strategy; empty where it does not. All hosts have the same code.
    Raises JobError."""
    arguments = _python_arguments(program)
    if arguments[0] == "-P":  # a handler
        return ""
    reference = find_parameter_server(program_of(arguments, job.paths.code), job.paths.code)
    return f"{reference.path.name}, line {reference.line}, uses ParameterServerStrategy" if reference else ""


def mirrored(job: TrainingJob[Any], program: Command, context: HostContext, hosts: Sequence[str]) -> list[Command]:
    """A worker on every host. Only the first one's model is kept; the others write theirs to the scratch folder."""
    rank = hosts.index(job.hosts.current)
    cluster = {"worker": [f"{host}:{context.ports.master}" for host in hosts]}
    env = {**_common(job, program, context), "TF_CONFIG": tf_config(cluster, "worker", rank)}
    sharded = sharded_channels(job)
    if sharded:
        env["TRAINING_SHARDED_CHANNELS"] = ", ".join(sharded)
    words = _python_arguments(program)
    if rank:
        spare = str(context.scratch / "model")
        env |= {"SM_MODEL_DIR": spare, "TRAINING_SPARE_MODEL_DIR": spare}
        model = {str(job.paths.model), f"{job.paths.model}/"}
        words = [spare if word in model else word for word in words]
    argv = [sys.executable, "-P", *STRATEGY, str(job.paths.model), *words]
    return [dataclasses.replace(program, argv=argv, name=f"{program.name} (worker {rank})", env=env, capture=True)]


def sharded_channels(job: TrainingJob[Any]) -> list[str]:
    """The channels of which every host has different files.
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html"""
    inputs = job.raw.get("inputdataconfig", {})
    return sorted(name for name, channel in inputs.items() if channel.get("S3DistributionType") == "ShardedByS3Key")


def parameter_server(
    job: TrainingJob[Any], program: Command, context: HostContext, hosts: Sequence[str]
) -> list[Command]:
    """A worker and a parameter server on every host, and the chief on the first one."""
    cluster = {
        "chief": [f"{hosts[0]}:{context.ports.chief}"],
        "ps": [f"{host}:{context.ports.parameter_server}" for host in hosts],
        "worker": [f"{host}:{context.ports.master}" for host in hosts],
    }
    # The processes of a host share its GPUs; without this the first process takes all of their memory.
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
        argv = [sys.executable, "-P", *STRATEGY, "--chief", *_python_arguments(program)]
        env = {**common, "TF_CONFIG": tf_config(cluster, "chief", 0)}
        commands.append(dataclasses.replace(program, argv=argv, name=f"{program.name} (chief)", env=env, capture=True))
    return commands


def tf_config(cluster: dict[str, list[str]], task: str, index: int) -> str:
    """The variable's value: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_variable"""
    return json.dumps({"cluster": cluster, "task": {"type": task, "index": index}, "environment": "cloud"})


def _common(job: TrainingJob[Any], program: Command, context: HostContext) -> dict[str, str]:
    return {**single.network_variables(job, context), LEGACY_KERAS: "1", **program.env}


def _python_arguments(program: Command) -> list[str]:
    """The arguments of Python: `train.py --lr 1` or `-m train --lr 1`. Raises JobError for a program that is not run by
    Python."""
    if program.argv[0] != sys.executable:
        raise JobError(
            f"{program.name} cannot be distributed by TensorFlow: it is no Python program, and every host would have "
            "trained alone; name a .py file in sagemaker_program"
        )
    return list(program.argv[1:])
