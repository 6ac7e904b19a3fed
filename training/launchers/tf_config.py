"""TensorFlow, whose processes find each other by the variable TF_CONFIG.

A script that asks for ParameterServerStrategy gets a chief (which runs it), a parameter server beside the chief, and a
worker on every other host; those two run nothing but tf.distribute.Server and are ended when the chief has ended.
Any other script runs on every host, as a worker, inside the scope of MultiWorkerMirroredStrategy
(training/tf_strategy.py), so that one that knows nothing of strategies trains as one too. Whatever SageMaker's SDK was
asked for, sagemaker_parameter_server_enabled or sagemaker_multi_worker_mirrored_strategy_enabled: a Keras script under
the first would else train on every host alone.

Both need tf-keras; Keras 3 cannot train on several hosts.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from container.child import Command
from container.failure import JobError
from container.groups import team
from container.job import TrainingJob
from training.launchers import Place, single

STRATEGY = Path(__file__).resolve().parent.parent / "tf_strategy.py"
PARAMETER_SERVER = "ParameterServerStrategy"


def launch(job: TrainingJob[Any], program: Command, place: Place) -> list[Command]:
    """The processes of this host. One host alone, or outside the distribution's instance groups, needs no TF_CONFIG."""
    hosts = team(job)
    if len(hosts) == 1 or job.hosts.current not in hosts:
        return single.launch(job, program, place)
    if wants_parameter_server(job):
        return parameter_server(job, program, place, hosts)
    return mirrored(job, program, place, hosts)


def wants_parameter_server(job: TrainingJob[Any]) -> bool:
    """Whether the user's code names the strategy; all hosts have the same code."""
    return any(
        PARAMETER_SERVER in path.read_text(encoding="utf-8", errors="replace") for path in job.paths.code.rglob("*.py")
    )


def mirrored(job: TrainingJob[Any], program: Command, place: Place, hosts: Sequence[str]) -> list[Command]:
    """Every host a worker. Only the first one's model is kept: the others' goes to the scratch folder."""
    rank = hosts.index(job.hosts.current)
    cluster = {"worker": [f"{host}:{place.port}" for host in hosts]}
    env = {**_common(job, program, place), "TF_CONFIG": tf_config(cluster, "worker", rank)}
    argv = [sys.executable, "-P", str(STRATEGY), str(job.paths.model), *_python_words(program)]
    if rank:
        spare = str(place.scratch / "model")
        env |= {"SM_MODEL_DIR": spare, "TRAINING_SPARE_MODEL_DIR": spare}
        model = {str(job.paths.model), f"{job.paths.model}/"}
        argv = [*argv[:4], *(spare if word in model else word for word in argv[4:])]
    return [dataclasses.replace(program, argv=argv, name=f"{program.name} (worker {rank})", env=env, capture=True)]


def parameter_server(job: TrainingJob[Any], program: Command, place: Place, hosts: Sequence[str]) -> list[Command]:
    """The first host is chief and parameter server, every other one a worker."""
    cluster = {
        "chief": [f"{hosts[0]}:{place.port}"],
        "ps": [f"{hosts[0]}:{place.port + 1}"],
        "worker": [f"{host}:{place.port}" for host in hosts[1:]],
    }
    common = _common(job, program, place)

    def server(task: str, index: int) -> Command:
        argv = [sys.executable, "-P", str(STRATEGY), "--server"]
        env = {**common, "TF_CONFIG": tf_config(cluster, task, index)}
        return dataclasses.replace(
            program, argv=argv, name=f"TensorFlow's {task} {index}", env=env, capture=True, service=True
        )

    rank = hosts.index(job.hosts.current)
    if rank:
        return [server("worker", rank - 1)]
    env = {**common, "TF_CONFIG": tf_config(cluster, "chief", 0)}
    chief = dataclasses.replace(program, name=f"{program.name} (chief)", env=env, capture=True)
    return [server("ps", 0), chief]


def tf_config(cluster: dict[str, list[str]], task: str, index: int) -> str:
    """The variable's value: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_variable"""
    return json.dumps({"cluster": cluster, "task": {"type": task, "index": index}, "environment": "cloud"})


def _common(job: TrainingJob[Any], program: Command, place: Place) -> dict[str, str]:
    return {**single.network(job, place), "TF_USE_LEGACY_KERAS": "1", **program.env}


def _python_words(program: Command) -> list[str]:
    """`train.py --lr 1` or `-m train --lr 1`. Raises JobError for what is not run by Python."""
    if program.argv[0] != sys.executable:
        raise JobError(
            f"{program.name} cannot be distributed by TensorFlow: it is no Python program, and every host would have "
            "trained alone; name a .py file in sagemaker_program"
        )
    return list(program.argv[1:])
