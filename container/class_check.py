"""Instantiates a handler class, or says what is wrong with it: many are written for other servers at first."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.handler import Handler, overridden

SERVES = "a handler has load(self, model_dir) and predict(self, model, inputs), see docs/handlers.md"
TRAINS = "a handler has train(self, job), see docs/handlers.md"
# The arguments of each method, by position.
ARGUMENTS = {
    "train": ["job"],
    "load": ["model_dir"],
    "predict": ["model", "inputs"],
    "predict_with_context": ["model", "inputs", "contexts"],
    "converse": ["model", "message", "conversation"],
    "cost": ["input"],
    "split": ["input"],
    "join": ["input", "outputs"],
}


def create_for_serving(handler_class: type[Any], name: str) -> Handler:
    """An instance of a handler class, called `name` in errors. Raises JobError for what cannot be served."""
    predict = "predict_with_context" if overridden(handler_class, "predict_with_context") else "predict"
    for method in ("load", predict):
        if not callable(overridden(handler_class, method)):
            raise JobError(f"{name} has no method {method}, so it cannot be served{_methods(handler_class)}: {SERVES}")
    return _create(handler_class, name, ("load", predict, "converse", "cost", "split", "join"), SERVES)


def create_for_training(handler_class: type[Any], name: str) -> Handler:
    """An instance of a handler class, called `name` in errors. Raises JobError for what cannot train."""
    if not callable(overridden(handler_class, "train")):
        raise JobError(f"{name} has no method train(job)")
    declared = handler_class.Hyperparameters if hasattr(handler_class, "Hyperparameters") else None
    if declared is not None and not is_dataclass(declared):
        raise JobError(f"{name}.Hyperparameters is no dataclass; write @dataclass(frozen=True) above it")
    return _create(handler_class, name, ("train",), TRAINS)


def _create(handler_class: type[Any], name: str, methods: Sequence[str], right: str) -> Handler:
    if missing := _required_arguments(handler_class):
        raise JobError(f"{name} is made without arguments, but its __init__ needs {', '.join(missing)}; {right}")
    handler: Handler = handler_class()
    for method in methods:
        if function := overridden(handler, method):
            _check_call(name, method, function, right)
    return handler


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a callable; None where it is written in C and has none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _methods(handler_class: type[Any]) -> str:
    """The methods that a class has instead of load and predict, for an error message."""
    functions = [name for name, value in vars(handler_class).items() if inspect.isroutine(value)]
    public = [name for name in functions if not name.startswith("_") or name == "__call__"]
    return f"; it has {', '.join(public)}" if public else ""


def _required_arguments(handler_class: type[Any]) -> list[str]:
    signature = signature_of(handler_class)
    parameters = signature.parameters.values() if signature else ()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in variadic]


def _check_call(name: str, method: str, function: Callable[..., Any], right: str) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        where = "it computes in a thread of its own, where " if method in ("load", "predict", "converse") else ""
        raise JobError(
            f"{name}: {method} must not be async: {where}nothing waits for a coroutine; "
            f"write def {method}, and asyncio.run(...) in it for what is async"
        )
    signature = signature_of(function)
    if signature is None:
        return
    arguments = ARGUMENTS[method]
    try:
        signature.bind(*arguments, **({"requests": []} if "requests" in signature.parameters else {}))
    except TypeError:
        written = ", ".join(["self", *map(str, signature.parameters.values())])
        raise JobError(f"{name}: {method}({written}) cannot be called with {', '.join(arguments)}; {right}") from None
