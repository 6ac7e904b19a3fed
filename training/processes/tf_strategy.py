"""Runs an unmodified TensorFlow script as a worker of MultiWorkerMirroredStrategy, or as the chief of
ParameterServerStrategy; or a server for such a chief:

    python -P -m byo_container.training.processes.tf_strategy MODEL_DIR train.py --epochs 3
    python -P -m byo_container.training.processes.tf_strategy MODEL_DIR -m package.train --epochs 3
    python -P -m byo_container.training.processes.tf_strategy --chief train.py --epochs 3
    python -P -m byo_container.training.processes.tf_strategy --server

TF_CONFIG describes the cluster. A worker's script runs inside the strategy's scope, so that models it builds by
tf.keras are mirrored and trained as one; a script that creates the strategy itself gets the same one. A script that
ends without having trained anything in it has failed: every host would have trained a model of its own. Where
TRAINING_SPARE_MODEL_DIR is set, what Keras and TensorFlow save below MODEL_DIR goes there, because only one host's
model is kept.

A script may save on all hosts or on the first one alone, as AWS's examples do (`if args.current_host == args.hosts[0]:
model.save(…)`). So saving needs no other worker (training/tf/saving.py), and no worker ends before the scripts of all
have (training/tf/workers.py): TensorFlow takes a worker that has ended for one that has crashed, and aborts the others.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from byo_container.training.tf import saving
from byo_container.training.tf.keras_3 import Keras3Guard
from byo_container.training.tf.parameter_server import record_calls, save_on_chief
from byo_container.training.tf.script import run_explained
from byo_container.training.tf.sharding import DataSharding
from byo_container.training.tf.strategies import reject_single_host_strategies, replace_strategies
from byo_container.training.tf.workers import Workers
from byo_container.training.user_script import name_of, run

DISCARDED_MODEL_DIR = "TRAINING_SPARE_MODEL_DIR"
"""The variable with the folder for what a worker saves and nobody keeps."""


def main(arguments: Sequence[str]) -> None:
    """Runs a server, a chief or a worker."""
    if list(arguments) == ["--server"]:
        run_server()
    elif arguments[0] == "--chief":
        run_chief(list(arguments[1:]))
    else:
        model_dir, *script = arguments
        run_worker(model_dir, script[1:] if script[0] == "-P" else script)


def run_server() -> None:
    """A parameter server or a worker of one. It computes for the chief, and never ends by itself."""
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    server = tf.distribute.Server(
        resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id, protocol="grpc"
    )
    server.join()


def run_worker(model_dir: str, script: list[str]) -> None:
    """Runs the script inside the scope of MultiWorkerMirroredStrategy. Ends the process with an error where the script
    did not train in it."""
    import tensorflow as tf

    sys.meta_path.insert(0, Keras3Guard())
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    name = name_of(script)
    workers = Workers(strategy)
    uses = replace_strategies(tf, strategy, workers, name)
    reject_single_host_strategies(tf, name)
    DataSharding(tf, strategy, workers).install()
    discarded = os.environ.get(DISCARDED_MODEL_DIR)
    if discarded:
        saving.redirect(tf, model_dir, discarded)
    saving.save_locally(tf, saving.LocalVariables(tf, strategy))
    with strategy.scope():
        run_explained(script)
    if not uses:
        sys.exit(
            f"error: {name} ended without training anything by tf.keras or by the strategy, so it cannot be "
            f"distributed: each of the {strategy.num_replicas_in_sync} hosts would have trained alone; "
            "train by tf.keras, or ask for one host"
        )
    workers.leave()


def run_chief(script: list[str]) -> None:
    """Runs the script, which creates ParameterServerStrategy. Ends the process with an error where it did not."""
    import tensorflow as tf

    created: list[bool] = []
    for strategy in (
        tf.distribute.ParameterServerStrategy,
        tf.compat.v1.distribute.experimental.ParameterServerStrategy,
    ):
        strategy.__init__ = record_calls(strategy.__init__, created)
    save_on_chief(tf, created)
    run(script)
    workers = len(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"])
    if not created and workers > 1:
        sys.exit(
            f"error: {name_of(script)} names ParameterServerStrategy, but ended without "
            f"having made one: the first of {workers} hosts has trained alone; have it make the strategy, or ask for "
            "MultiWorkerMirroredStrategy by sagemaker_multi_worker_mirrored_strategy_enabled"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
