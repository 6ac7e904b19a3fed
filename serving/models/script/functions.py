"""Imports a user's inference.py and gives its functions one calling convention."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from byo_container.container.failure import JobError
from byo_container.serving.models import import_isolation

# How many arguments each function takes before the context.
ARGUMENTS = {
    "model_fn": 1,
    "pre_model_fn": 1,  # before it
    "model_warmup_fn": 2,  # after it, before the first request
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
}
CONTEXT_NAMES = frozenset({"context", "ctx"})
_thread = threading.local()


def import_script(path: Path, module: str = "") -> ModuleType:
    """The module of a script: `package.module` by an ordinary import, a file outside of packages by its path. Raises
    JobError for a file that is not Python."""
    return importlib.import_module(module) if module else import_file(path)


def import_file(path: Path) -> ModuleType:
    """Imports a file under the name by which its pickles and dataclasses find it."""
    spec = import_isolation.spec_of(path)
    if spec is None or spec.loader is None:
        raise JobError(f"{path} is no Python file; SAGEMAKER_PROGRAM should name one, such as inference.py")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(spec.name)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        if before:
            sys.modules[spec.name] = before
        raise
    return module


def functions_of(module: ModuleType, path: Path) -> dict[str, Callable[..., Any]]:
    """The functions that a module defines, each wrapped so that it takes the context. Raises JobError."""
    found = {name: getattr(module, name) for name in ARGUMENTS if callable(getattr(module, name, None))}
    if not found:
        raise JobError(f"{path} defines none of {', '.join(ARGUMENTS)}{_other_server(module)}")
    parts = sorted({"input_fn", "predict_fn", "output_fn"} & found.keys())
    if "transform_fn" in found and parts:
        raise JobError(f"{path} defines transform_fn, which takes the place of {', '.join(parts)}: leave one out")
    return {name: _with_context(function, name, path) for name, function in found.items()}


def _other_server(module: ModuleType) -> str:
    """What to do about a file that was written for another server."""
    own = [thing for thing in vars(module).values() if isinstance(thing, type) and thing.__module__ == module.__name__]
    handles = [name for name in ("handle", "handler") if callable(getattr(module, name, None))]
    handles += [f"{one.__name__}.handle" for one in own if callable(getattr(one, "handle", None))]
    tensorflow = [name for name in ("input_handler", "output_handler") if callable(getattr(module, name, None))]
    if not handles and not tensorflow:
        return ""
    what = f"{handles[0]} is a handler of multi-model-server's and TorchServe's" if handles else ""
    what = what or f"{' and '.join(tensorflow)} {'are' if tensorflow[1:] else 'is'} TensorFlow Serving's"
    return f"; {what}: write model_fn and predict_fn, or a handler class: docs/handlers.md"


def _with_context(function: Callable[..., Any], name: str, path: Path) -> Callable[..., Any]:
    """Wraps a function so that it takes its arguments and the context. The context is passed on to one more positional
    parameter without a default, or to a parameter called `context` (or `ctx`)."""
    wanted = ARGUMENTS[name]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C, without a signature
        return _without_context(function, wanted)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    unknown = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    most = sys.maxsize if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(positional)
    by_name = next((p for p in parameters if p.name in CONTEXT_NAMES and p not in positional[:wanted]), None)
    if by_name and by_name.kind is by_name.KEYWORD_ONLY:
        unknown = [other for other in unknown if other != by_name.name]
    if required == wanted + 1 and not unknown:
        return function
    if not required <= wanted <= most or unknown:
        takes = f"requires {', '.join(unknown)}" if unknown else f"takes {len(positional)} arguments"
        raise JobError(f"{path}: {name} {takes}; it must take {wanted}, or {wanted + 1} with context")
    if by_name and by_name.kind in (by_name.KEYWORD_ONLY, by_name.POSITIONAL_OR_KEYWORD):
        keyword = by_name.name
        return lambda *arguments: function(*arguments[:wanted], **{keyword: arguments[wanted]})
    return _without_context(function, wanted)


def _without_context(function: Callable[..., Any], wanted: int) -> Callable[..., Any]:
    if wanted == 1:
        return lambda first, context: function(first)
    if wanted == 2:
        return lambda first, second, context: function(first, second)
    return lambda *arguments: function(*arguments[:wanted])


def provide_event_loop() -> None:
    """Gives this thread an event loop, as the main thread has one, for `asyncio.get_event_loop()`; not where asyncio
    was never imported."""
    if "asyncio" in sys.modules and not hasattr(_thread, "has_loop"):
        import asyncio

        asyncio.set_event_loop(asyncio.new_event_loop())
        _thread.has_loop = True


def explain_thread(error: BaseException) -> str:
    """Advice for an error that is raised outside of the main thread only, as by signal.signal; empty for others."""
    if "only works in main thread" not in str(error):
        return ""
    where = ""
    traceback = error.__traceback__
    while traceback:
        code = traceback.tb_frame.f_code
        if code.co_filename != __file__ and Path(code.co_filename).name not in ("signal.py", "unix_events.py"):
            where = f"{code.co_filename}, line {traceback.tb_lineno}, in {code.co_name}"
        traceback = traceback.tb_next
    return (
        f"{where}: {error}; `serve` loads the model and computes in threads beside its event loop, where no signal "
        "handler can be set: leave it out (for a time limit there is MODEL_SERVER_TIMEOUT), or run what needs it in a "
        "process of its own, such as multiprocessing's"
    )
