"""What the chief of ParameterServerStrategy changes in TensorFlow before it runs a script."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def record_calls(function: Callable[..., Any], calls: list[bool]) -> Callable[..., Any]:
    """`function`, which appends to `calls` whenever it is called."""

    def record_and_call(*arguments: Any, **options: Any) -> Any:
        calls.append(True)
        return function(*arguments, **options)

    return functools.update_wrapper(record_and_call, function)


def save_on_chief(tf: Any, created: list[bool]) -> None:
    """Makes the chief read and write files, once the strategy is `created`, unless a script chooses another device. By
    default every parameter server writes its own part, which needs a file system that all hosts share."""

    def on_chief(init: Callable[..., None]) -> Callable[..., None]:
        def init_on_chief(options: Any, *arguments: Any, **given: Any) -> None:
            init(options, *arguments, **given)
            if created and options.experimental_io_device is None:
                options.experimental_io_device = "/job:chief/replica:0/task:0/device:CPU:0"

        return functools.update_wrapper(init_on_chief, init)

    for options in (tf.saved_model.SaveOptions, tf.saved_model.LoadOptions, tf.train.CheckpointOptions):
        options.__init__ = on_chief(options.__init__)
