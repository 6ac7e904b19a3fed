"""Runs an untouched TensorFlow script as one of the workers of MultiWorkerMirroredStrategy; or a server:

    python -P training/tf_strategy.py MODEL_DIR train.py --epochs 3
    python -P training/tf_strategy.py MODEL_DIR -m package.train --epochs 3
    python -P training/tf_strategy.py --server

TF_CONFIG says who takes part. The script runs inside the strategy's scope, so what it builds by tf.keras is mirrored
and trained as one; one that makes the strategy itself gets the same one. A script that ends without having trained
anything in it has failed: every host would have trained alone. Where TRAINING_SPARE_MODEL_DIR is set, what Keras and
TensorFlow save below MODEL_DIR goes there, for all workers must save, and one model is enough.

Started as a file and free of our own imports, because the user's code may hold folders called like ours.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

SPARE = "TRAINING_SPARE_MODEL_DIR"


def main(words: Sequence[str]) -> None:
    """Serves, or runs the script."""
    if list(words) == ["--server"]:
        serve()
    else:
        train(words[0], [word for word in words[1:2] if word != "-P"] + list(words[2:]))


def serve() -> None:
    """A parameter server or a worker of one: computes for the chief, and never ends by itself."""
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    server = tf.distribute.Server(
        resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id, protocol="grpc"
    )
    server.join()


def train(model_dir: str, script: list[str]) -> None:
    """Runs the script inside the strategy's scope. Ends the process with an error where it did not use it."""
    import tensorflow as tf

    sys.meta_path.insert(0, KerasFinder())
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    name = script[1] if script[0] == "-m" else script[0]
    used = offer(tf, strategy, name)
    spare = os.environ.get(SPARE)
    if spare:
        divert(tf, model_dir, spare)
    with strategy.scope():
        run(script)
    if not used:
        sys.exit(
            f"error: {name} ended without training anything by tf.keras or by the strategy, so it cannot be "
            f"distributed: each of the {strategy.num_replicas_in_sync} hosts would have trained alone; "
            "train by tf.keras, or ask for one host"
        )


def run(script: list[str]) -> None:
    """The script as Python itself would run it."""
    sys.path.insert(0, os.getcwd())
    with contextlib.ExitStack() as stack:
        stack.callback(sys.stdout.flush)
        try:
            if script[0] == "-m":
                sys.argv = script[1:]
                runpy.run_module(script[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = script
                runpy.run_path(script[0], run_name="__main__")
        except SystemExit as ending:
            if ending.code not in (None, 0):
                raise


def offer(tf: Any, strategy: Any, script: str) -> list[str]:
    """Makes the strategy the only one that the script can get, and refuses a `fit` outside of it. Gives a list that
    is empty as long as nothing has been run on all hosts."""
    used: list[str] = []
    run_on_all, fit = strategy.run, tf.keras.Model.fit

    def run_and_note(*arguments: Any, **options: Any) -> Any:
        used.append("run")
        return run_on_all(*arguments, **options)

    def fit_inside(model: Any, *arguments: Any, **options: Any) -> Any:
        if model.distribute_strategy is not strategy:
            raise RuntimeError(
                f"{script} calls fit on a model that was not built inside the strategy of all hosts but in "
                f"{type(model.distribute_strategy).__name__}: every host would train alone"
            )
        used.append("fit")
        return fit(model, *arguments, **options)

    def the_one(*arguments: Any, **options: Any) -> Any:
        return strategy

    strategy.run = run_and_note
    tf.keras.Model.fit = fit_inside
    tf.distribute.MultiWorkerMirroredStrategy = the_one
    tf.distribute.experimental.MultiWorkerMirroredStrategy = the_one
    return used


def divert(tf: Any, model_dir: str, spare: str) -> None:
    """Has everything that is saved below `model_dir` saved below `spare`."""

    def elsewhere(path: Any) -> Any:
        with contextlib.suppress(TypeError):
            full = os.path.abspath(os.fspath(path))
            if full == model_dir or full.startswith(model_dir + os.sep):
                return spare + full.removeprefix(model_dir)
        return path

    def diverted(save: Callable[..., Any], position: int, name: str) -> Callable[..., Any]:
        def save_elsewhere(*arguments: Any, **options: Any) -> Any:
            words = list(arguments)
            if len(words) > position:
                words[position] = elsewhere(words[position])
            if name in options:
                options[name] = elsewhere(options[name])
            os.makedirs(spare, exist_ok=True)
            return save(*words, **options)

        return save_elsewhere

    places = [
        (tf.keras.Model, "save", 1, "filepath"),
        (tf.keras.Model, "save_weights", 1, "filepath"),
        (tf.keras.Model, "export", 1, "filepath"),
        (tf.keras.models, "save_model", 1, "filepath"),
        (tf.saved_model, "save", 1, "export_dir"),
    ]
    for owner, attribute, position, name in places:
        if hasattr(owner, attribute):
            setattr(owner, attribute, diverted(getattr(owner, attribute), position, name))


class KerasFinder(importlib.abc.MetaPathFinder):
    """Lets Keras 3 be imported, and refuses its `fit`, which cannot train on several hosts."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_refuse(module: ModuleType) -> None:
                execute(module)
                if str(getattr(module, "__version__", "")).startswith("3."):
                    module.Model.fit = _refuse

            spec.loader.exec_module = execute_and_refuse  # type: ignore[method-assign]
        return spec


def _refuse(*_: Any, **__: Any) -> None:
    raise RuntimeError(
        "Keras 3 cannot train on several hosts: every host would train alone; import Keras from TensorFlow "
        "(`from tensorflow import keras`), which gives tf-keras here"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
