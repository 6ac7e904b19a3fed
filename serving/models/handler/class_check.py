"""A handler made from its class, or what that needs before it can be served: many are written for other servers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.handler import Handler

RIGHT = "a handler has load(self, model_dir) and predict(self, model, inputs), see docs/handlers.md"


def made(handler_class: type[Handler], name: str) -> Handler:
    """The handler, asked for by `name`. Raises JobError for what cannot be served."""
    for method in ("load", "predict"):
        if not callable(getattr(handler_class, method, None)):
            raise JobError(f"{name} has no method {method}, so it cannot be served{_own(handler_class)}: {RIGHT}")
    if needed := _needed(handler_class):
        raise JobError(f"{name} is made without arguments, but its __init__ needs {', '.join(needed)}; {RIGHT}")
    handler = handler_class()
    _check_call(name, "load", handler.load, ["model_dir"])
    _check_call(name, "predict", handler.predict, ["model", "inputs"])
    if converse := getattr(handler, "converse", None):
        _check_call(name, "converse", converse, ["model", "message", "conversation"])
    return handler


def _own(handler_class: type[Any]) -> str:
    """What a person may have written in place of load and predict."""
    functions = [name for name, value in vars(handler_class).items() if inspect.isroutine(value)]
    own = [name for name in functions if not name.startswith("_") or name == "__call__"]
    return f"; it has {', '.join(own)}" if own else ""


def _needed(handler_class: type[Any]) -> list[str]:
    signature = _signature(handler_class)
    parameters = signature.parameters.values() if signature else ()
    gathering = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in gathering]


def _check_call(name: str, method: str, function: Callable[..., Any], arguments: list[str]) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise JobError(
            f"{name}: {method} must not be async: it computes in a thread of its own, where nothing waits for a "
            f"coroutine; write def {method}, and asyncio.run(...) in it for what is async"
        )
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind(*arguments, **({"requests": []} if "requests" in signature.parameters else {}))
    except TypeError:
        written = ", ".join(["self", *map(str, signature.parameters.values())])
        raise JobError(f"{name}: {method}({written}) cannot be called with {', '.join(arguments)}; {RIGHT}") from None


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # written in C, which does not tell
        return None
