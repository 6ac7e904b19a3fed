"""Saving under MultiWorkerMirroredStrategy: without the other workers, and to another folder on all but one of them."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any


class LocalVariables:
    """Reads variables that differ between workers without the other workers, inside `reading()`.

    By default TensorFlow reduces such a variable over all workers (metrics, statistics of batch normalisation), and a
    worker that saves alone would wait for ever. The same holds for a variable that saving creates, such as a
    checkpoint's save counter, whose first value TensorFlow broadcasts.
    """

    def __init__(self, tf: Any, strategy: Any) -> None:
        self._tf = tf
        self._depth = 0
        reduce = strategy.reduce

        def reduce_locally(operation: Any, value: Any, axis: int | None = None) -> Any:
            replicas = getattr(value, "values", None)
            if not self._depth or axis is not None or not replicas or not hasattr(value, "synchronization"):
                return reduce(operation, value, axis=axis)
            total = tf.add_n([variable.read_value() for variable in replicas])
            return total if str(operation).upper().endswith("SUM") else total / len(replicas)

        strategy.reduce = reduce_locally

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        self._depth += 1
        try:
            with self._tf.variable_creator_scope(plain_variable):
                yield
        finally:
            self._depth -= 1


def plain_variable(next_creator: Any, **options: Any) -> Any:
    """A variable of this process alone, created without the strategy's creator, which is `next_creator`."""
    from tensorflow.python.ops.resource_variable_ops import ResourceVariable

    names = ("initial_value", "trainable", "validate_shape", "caching_device", "name", "dtype", "shape")
    return ResourceVariable(**{name: options[name] for name in names if name in options})


def save_locally(tf: Any, local: LocalVariables) -> None:
    """Makes everything that saves a model, or reads its weights, read this worker's variables."""

    def saving_locally(save: Callable[..., Any]) -> Callable[..., Any]:
        def save_local(*arguments: Any, **options: Any) -> Any:
            with local.reading():
                return save(*arguments, **options)

        return functools.update_wrapper(save_local, save)

    savers = [
        (tf.keras.Model, ("save", "save_weights", "export", "get_weights")),
        (tf.keras.models, ("save_model",)),
        (tf.saved_model, ("save",)),
        (tf.train.Checkpoint, ("save", "write")),
        (tf.train.CheckpointManager, ("save",)),
    ]
    for owner, names in savers:
        for name in names:
            setattr(owner, name, saving_locally(getattr(owner, name)))


def redirect(tf: Any, model_dir: str, discarded: str) -> None:
    """Makes everything that is saved below `model_dir` be saved below `discarded`."""

    def redirected(path: Any) -> Any:
        with contextlib.suppress(TypeError):
            full = os.path.abspath(os.fspath(path))
            if full == model_dir or full.startswith(model_dir + os.sep):
                return discarded + full.removeprefix(model_dir)
        return path

    def redirecting(save: Callable[..., Any], position: int, name: str) -> Callable[..., Any]:
        def save_redirected(*arguments: Any, **options: Any) -> Any:
            positional = list(arguments)
            if len(positional) > position:
                positional[position] = redirected(positional[position])
            if name in options:
                options[name] = redirected(options[name])
            os.makedirs(discarded, exist_ok=True)
            return save(*positional, **options)

        return save_redirected

    savers = [
        (tf.keras.Model, "save", 1, "filepath"),
        (tf.keras.Model, "save_weights", 1, "filepath"),
        (tf.keras.Model, "export", 1, "filepath"),
        (tf.keras.models, "save_model", 1, "filepath"),
        (tf.saved_model, "save", 1, "export_dir"),
    ]
    for owner, attribute, position, name in savers:
        if hasattr(owner, attribute):
            setattr(owner, attribute, redirecting(getattr(owner, attribute), position, name))
