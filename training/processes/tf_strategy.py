"""Runs an untouched TensorFlow script as one of the workers of MultiWorkerMirroredStrategy, or as the chief of
ParameterServerStrategy; or a server for such a chief:

    python -P -m byo_container.training.processes.tf_strategy MODEL_DIR train.py --epochs 3
    python -P -m byo_container.training.processes.tf_strategy MODEL_DIR -m package.train --epochs 3
    python -P -m byo_container.training.processes.tf_strategy --chief train.py --epochs 3
    python -P -m byo_container.training.processes.tf_strategy --server

TF_CONFIG says who takes part. The script runs inside the strategy's scope, so what it builds by tf.keras is mirrored
and trained as one; one that makes the strategy itself gets the same one. A script that ends without having trained
anything in it has failed: every host would have trained alone. Where TRAINING_SPARE_MODEL_DIR is set, what Keras and
TensorFlow save below MODEL_DIR goes there, for one model is enough.

A script may save on all hosts, or on the first one alone, as AWS's own examples do (`if args.current_host ==
args.hosts[0]: model.save(…)`). So saving needs no other worker (training/processes/tf_saving.py), and no worker ends
before
the scripts of all have (class Workers): TensorFlow takes one that has ended for one that has crashed, and aborts the
rest.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import runpy
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from byo_container.training.processes import tf_data, tf_saving

SPARE = "TRAINING_SPARE_MODEL_DIR"
TOGETHER = ("fit", "evaluate", "predict")
"""Methods of a Keras model that compute on all workers at once."""
WATCH_S = 2.0


def main(words: Sequence[str]) -> None:
    """Serves, or runs the script."""
    if list(words) == ["--server"]:
        serve()
    elif words[0] == "--chief":
        coordinate(list(words[1:]))
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
    workers = Workers(strategy)
    used = offer(tf, strategy, workers, name)
    refuse_others(tf, name)
    tf_data.Data(tf, strategy, workers).install()
    spare = os.environ.get(SPARE)
    if spare:
        tf_saving.divert(tf, model_dir, spare)
    tf_saving.save_locally(tf, tf_saving.Local(tf, strategy))
    with strategy.scope():
        run_explained(script)
    if not used:
        sys.exit(
            f"error: {name} ended without training anything by tf.keras or by the strategy, so it cannot be "
            f"distributed: each of the {strategy.num_replicas_in_sync} hosts would have trained alone; "
            "train by tf.keras, or ask for one host"
        )
    workers.part()


def coordinate(script: list[str]) -> None:
    """Runs the script, which makes the strategy itself. Ends the process with an error where it did not."""
    import tensorflow as tf

    made: list[bool] = []
    for strategy in (
        tf.distribute.ParameterServerStrategy,
        tf.compat.v1.distribute.experimental.ParameterServerStrategy,
    ):
        strategy.__init__ = note_calls(strategy.__init__, made)
    save_on_chief(tf, made)
    run(script)
    workers = len(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"])
    if not made and workers > 1:
        sys.exit(
            f"error: {script[1] if script[0] == '-m' else script[0]} names ParameterServerStrategy, but ended without "
            f"having made one: the first of {workers} hosts has trained alone; have it make the strategy, or ask for "
            "MultiWorkerMirroredStrategy by sagemaker_multi_worker_mirrored_strategy_enabled"
        )


def save_on_chief(tf: Any, made: list[bool]) -> None:
    """Has the chief read and write files, once the strategy is made, where a script does not say who shall. By itself
    TensorFlow has every parameter server write its own part, which wants a file system that all hosts share."""

    def on_chief(make: Callable[..., None]) -> Callable[..., None]:
        def make_on_chief(options: Any, *arguments: Any, **given: Any) -> None:
            make(options, *arguments, **given)
            if made and options.experimental_io_device is None:
                options.experimental_io_device = "/job:chief/replica:0/task:0/device:CPU:0"

        return functools.update_wrapper(make_on_chief, make)

    for options in (tf.saved_model.SaveOptions, tf.saved_model.LoadOptions, tf.train.CheckpointOptions):
        options.__init__ = on_chief(options.__init__)


def note_calls(function: Callable[..., Any], calls: list[bool]) -> Callable[..., Any]:
    def note_and_call(*arguments: Any, **options: Any) -> Any:
        calls.append(True)
        return function(*arguments, **options)

    return functools.update_wrapper(note_and_call, function)


def run(script: list[str]) -> None:
    """The script as Python itself would run it."""
    sys.path.insert(0, os.getcwd() if script[0] == "-m" else os.path.dirname(os.path.abspath(script[0])))
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


def run_explained(script: list[str]) -> None:
    """Runs the script. Where Keras refuses a loss in a training loop of the script's own, says what to do."""
    try:
        run(script)
    except ValueError as error:
        if "tf.keras.losses.Reduction" not in str(error):
            raise
        raise RuntimeError(
            "a training loop of the script's own cannot be distributed as it is: give its losses "
            "reduction=tf.keras.losses.Reduction.NONE, average them over the global batch, and run each step by "
            "tf.distribute.get_strategy().run; or train by model.fit; or ask for hyperparameter launcher=single, by "
            "which every host trains a model of its own"
        ) from error


def offer(tf: Any, strategy: Any, workers: Workers, script: str) -> list[str]:
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
        history = fit(model, *arguments, **options)
        average(tf, model)
        return history

    def the_one(*arguments: Any, **options: Any) -> Any:
        return strategy

    strategy.run = run_and_note
    tf.keras.Model.fit = fit_inside
    for name in TOGETHER:
        setattr(tf.keras.Model, name, workers.counted(getattr(tf.keras.Model, name), f"calls {name}"))
    make = strategy.extended._create_variable
    strategy.extended._create_variable = workers.counted(make, "makes a variable (builds or loads a model, say)")
    for place in (tf.distribute, tf.distribute.experimental, tf.compat.v1.distribute):
        for one in ("MultiWorkerMirroredStrategy", "MirroredStrategy"):
            if hasattr(place, one):
                setattr(place, one, the_one)
    tf.compat.v1.distribute.experimental.MultiWorkerMirroredStrategy = the_one
    return used


def refuse_others(tf: Any, script: str) -> None:
    """Refuses the strategies that train on one host alone. MirroredStrategy is not among them: it is made the one of
    all hosts, for its replicas are what those of MultiWorkerMirroredStrategy are."""

    def refuse(name: str) -> Callable[..., None]:
        def refuse_it(*_: Any, **__: Any) -> None:
            raise RuntimeError(
                f"{script} makes a {name}, which trains on one host alone; on several hosts use MirroredStrategy, "
                "which becomes MultiWorkerMirroredStrategy here, or none, for the script runs inside of that; or ask "
                "for one host, or for hyperparameter launcher=single, by which every host trains a model of its own"
            )

        return refuse_it

    v1 = tf.compat.v1.distribute
    for place in (tf.distribute, tf.distribute.experimental, v1, v1.experimental):
        for name in ("OneDeviceStrategy", "CentralStorageStrategy"):
            if hasattr(place, name):
                setattr(place, name, refuse(name))


def average(tf: Any, model: Any) -> None:
    """Gives all workers the mean of what each has for itself, such as the statistics of batch normalisation, which
    is what TensorFlow would have them compute whenever one of them saves."""
    for variable in model.variables:
        if (
            getattr(variable, "synchronization", None) is tf.VariableSynchronization.ON_READ
            and variable.aggregation is tf.VariableAggregation.MEAN
            and hasattr(variable, "values")
        ):
            variable.assign(variable.read_value())


class Workers:
    """All workers of the strategy, who speak by the key-value store of TensorFlow's coordination service, which the
    first of them holds. TensorFlow has no public name for it.

    They count what all of them must do together. Who has counted more than one that has ended waits for it in vain.
    """

    def __init__(self, strategy: Any) -> None:
        from tensorflow.python.eager import context

        resolver = strategy.cluster_resolver
        self._store = context.context()
        self._own = int(resolver.task_id)
        self.names = [task.rpartition(":")[0] for task in resolver.cluster_spec().job_tasks("worker")]
        self._others = [number for number in range(len(self.names)) if number != self._own]
        self._calls = 0
        self._last = ""
        self._parted = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def counted(self, function: Callable[..., Any], what: str) -> Callable[..., Any]:
        """`function`, which all workers have to call; `what` a call of it does, for people."""

        def count_and_call(*arguments: Any, **options: Any) -> Any:
            self._calls += 1
            self._last = what
            return function(*arguments, **options)

        return functools.update_wrapper(count_and_call, function)

    def exchange(self, topic: str, value: str) -> list[str]:
        """What all workers say about `topic`, in their order; waits until they have. A topic serves once."""
        self._store.set_config_key_value(f"byo/{topic}/{self._own}", value)
        return [
            value if number == self._own else self._await(f"byo/{topic}/{number}") for number in range(len(self.names))
        ]

    def part(self) -> None:
        """Waits until the scripts of all workers have ended."""
        self._store.set_config_key_value(f"byo/ended/{self._own}", str(self._calls))
        for other in self._others:
            self._await(f"byo/ended/{other}")
        self._store.set_config_key_value(f"byo/left/{self._own}", "")
        if self._own == 0:  # the store must outlive the others' questions
            for other in self._others:
                self._await(f"byo/left/{other}")
        self._parted.set()
        self._watcher.join()  # inside TensorFlow it would crash while Python ends

    def _await(self, key: str) -> str:
        while (value := self._look_up(key, 500)) is None:
            pass  # in pieces, for Python's handlers of signals
        return value

    def _look_up(self, key: str, wait_ms: int) -> str | None:
        from tensorflow.errors import DeadlineExceededError

        with contextlib.suppress(DeadlineExceededError):
            return str(self._store.get_config_key_value(key, timeout_in_ms=wait_ms))
        return None

    def _watch(self) -> None:
        """Ends the process with an error where it waits for a worker that has ended."""
        from tensorflow.errors import OpError

        ended: dict[int, int] = {}
        with contextlib.suppress(OpError):  # the first worker has gone: the main thread finds out too
            while not self._parted.wait(WATCH_S):
                for other in self._others:
                    calls = self._look_up(f"byo/ended/{other}", 1) if other not in ended else None
                    if calls is not None:
                        ended[other] = int(calls)
                    if self._calls > ended.get(other, self._calls):
                        self._end(other)

    def _end(self, other: int) -> None:
        sys.stdout.flush()
        print(
            f"error: worker {self._own} {self._last} without worker {other}, whose script has ended: under "
            "MultiWorkerMirroredStrategy all hosts must do so; saving alone may be left to one host",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # the main thread waits inside TensorFlow


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
