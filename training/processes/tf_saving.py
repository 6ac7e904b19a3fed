"""Saving under MultiWorkerMirroredStrategy: without the other workers, and for all but one of them elsewhere.

A part of training/processes/tf_strategy.py, in the process of a user's script.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any


class Local:
    """Has variables that differ from worker to worker read without the other workers, while `reading` lasts. By itself
    TensorFlow reduces such a variable over all of them (metrics, statistics of batch normalisation), and a worker that
    saves alone would wait for ever. So it would with a variable that saving makes, such as a checkpoint's save counter,
    whose first value TensorFlow sends to all of them."""

    def __init__(self, tf: Any, strategy: Any) -> None:
        self._tf = tf
        self._depth = 0
        reduce = strategy.reduce

        def reduce_here(operation: Any, value: Any, axis: int | None = None) -> Any:
            own = getattr(value, "values", None)
            if not self._depth or axis is not None or not own or not hasattr(value, "synchronization"):
                return reduce(operation, value, axis=axis)
            total = tf.add_n([variable.read_value() for variable in own])
            return total if str(operation).upper().endswith("SUM") else total / len(own)

        strategy.reduce = reduce_here

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        self._depth += 1
        try:
            with self._tf.variable_creator_scope(plain_variable):
                yield
        finally:
            self._depth -= 1


def plain_variable(next_creator: Any, **options: Any) -> Any:
    """A variable of this process alone, made past the creator of the strategy, `next_creator`."""
    from tensorflow.python.ops.resource_variable_ops import ResourceVariable

    names = ("initial_value", "trainable", "validate_shape", "caching_device", "name", "dtype", "shape")
    return ResourceVariable(**{name: options[name] for name in names if name in options})


def save_locally(tf: Any, local: Local) -> None:
    """Has all that saves a model, or takes its weights, read this worker's variables."""

    def saved_locally(save: Callable[..., Any]) -> Callable[..., Any]:
        def save_here(*arguments: Any, **options: Any) -> Any:
            with local.reading():
                return save(*arguments, **options)

        return functools.update_wrapper(save_here, save)

    places = [
        (tf.keras.Model, ("save", "save_weights", "export", "get_weights")),
        (tf.keras.models, ("save_model",)),
        (tf.saved_model, ("save",)),
        (tf.train.Checkpoint, ("save", "write")),
        (tf.train.CheckpointManager, ("save",)),
    ]
    for owner, names in places:
        for name in names:
            setattr(owner, name, saved_locally(getattr(owner, name)))


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
