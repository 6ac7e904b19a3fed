"""Instantiates a handler class, or says what is wrong with it: many are written for other servers at first."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.handler import Handler, overridden

RIGHT = "a handler has load(self, model_dir) and predict(self, model, inputs), see docs/handlers.md"
# The arguments of each method, by position.
ARGUMENTS = {
    "load": ["model_dir"],
    "predict": ["model", "inputs"],
    "predict_with_context": ["model", "inputs", "contexts"],
    "converse": ["model", "message", "conversation"],
}


def create(handler_class: type[Handler], name: str) -> Handler:
    """An instance of a handler class, called `name` in errors. Raises JobError for what cannot be served."""
    predict = "predict_with_context" if overridden(handler_class, "predict_with_context") else "predict"
    for method in ("load", predict):
        if not callable(overridden(handler_class, method)):
            raise JobError(f"{name} has no method {method}, so it cannot be served{_methods(handler_class)}: {RIGHT}")
    if missing := _required_arguments(handler_class):
        raise JobError(f"{name} is made without arguments, but its __init__ needs {', '.join(missing)}; {RIGHT}")
    handler = handler_class()
    for method in ("load", predict, "converse"):
        if function := overridden(handler, method):
            _check_call(name, method, function)
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


def _check_call(name: str, method: str, function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise JobError(
            f"{name}: {method} must not be async: it computes in a thread of its own, where nothing waits for a "
            f"coroutine; write def {method}, and asyncio.run(...) in it for what is async"
        )
    signature = signature_of(function)
    if signature is None:
        return
    arguments = ARGUMENTS[method]
    try:
        signature.bind(*arguments, **({"requests": []} if "requests" in signature.parameters else {}))
    except TypeError:
        written = ", ".join(["self", *map(str, signature.parameters.values())])
        raise JobError(f"{name}: {method}({written}) cannot be called with {', '.join(arguments)}; {RIGHT}") from None
