"""Makes MultiWorkerMirroredStrategy of all hosts the only strategy that a script can get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from byo_container.training.tf.workers import Workers

COLLECTIVE_METHODS = ("fit", "evaluate", "predict")
"""The methods of a Keras model that compute on all workers together."""


def replace_strategies(tf: Any, strategy: Any, workers: Workers, script: str) -> list[str]:
    """Replaces the strategies that a script may create by `strategy`, and rejects a `fit` outside of it. Returns a list
    that stays empty as long as nothing has run on all hosts."""
    uses: list[str] = []
    run, fit = strategy.run, tf.keras.Model.fit

    def run_and_record(*arguments: Any, **options: Any) -> Any:
        uses.append("run")
        return run(*arguments, **options)

    def fit_in_scope(model: Any, *arguments: Any, **options: Any) -> Any:
        if model.distribute_strategy is not strategy:
            raise RuntimeError(
                f"{script} calls fit on a model that was not built inside the strategy of all hosts but in "
                f"{type(model.distribute_strategy).__name__}: every host would train alone"
            )
        uses.append("fit")
        history = fit(model, *arguments, **options)
        average_variables(tf, model)
        return history

    def get_strategy(*arguments: Any, **options: Any) -> Any:
        return strategy

    strategy.run = run_and_record
    tf.keras.Model.fit = fit_in_scope
    for name in COLLECTIVE_METHODS:
        setattr(tf.keras.Model, name, workers.counted(getattr(tf.keras.Model, name), f"calls {name}"))
    create_variable = strategy.extended._create_variable
    strategy.extended._create_variable = workers.counted(
        create_variable, "makes a variable (builds or loads a model, say)"
    )
    for module in (tf.distribute, tf.distribute.experimental, tf.compat.v1.distribute):
        for name in ("MultiWorkerMirroredStrategy", "MirroredStrategy"):
            if hasattr(module, name):
                setattr(module, name, get_strategy)
    tf.compat.v1.distribute.experimental.MultiWorkerMirroredStrategy = get_strategy
    return uses


def reject_single_host_strategies(tf: Any, script: str) -> None:
    """Makes the strategies that train on one host alone raise an error. MirroredStrategy is not among them: it becomes
    that of all hosts, whose replicas work in the same way."""

    def rejecting(name: str) -> Callable[..., None]:
        def reject(*_: Any, **__: Any) -> None:
            raise RuntimeError(
                f"{script} makes a {name}, which trains on one host alone; on several hosts use MirroredStrategy, "
                "which becomes MultiWorkerMirroredStrategy here, or none, for the script runs inside of that; or ask "
                "for one host, or for hyperparameter launcher=single, by which every host trains a model of its own"
            )

        return reject

    v1 = tf.compat.v1.distribute
    for module in (tf.distribute, tf.distribute.experimental, v1, v1.experimental):
        for name in ("OneDeviceStrategy", "CentralStorageStrategy"):
            if hasattr(module, name):
                setattr(module, name, rejecting(name))


def average_variables(tf: Any, model: Any) -> None:
    """Gives all workers the mean of the variables that each keeps for itself, such as the statistics of batch
    normalisation. TensorFlow would compute it whenever a worker saves."""
    for variable in model.variables:
        if (
            getattr(variable, "synchronization", None) is tf.VariableSynchronization.ON_READ
            and variable.aggregation is tf.VariableAggregation.MEAN
            and hasattr(variable, "values")
        ):
            variable.assign(variable.read_value())
