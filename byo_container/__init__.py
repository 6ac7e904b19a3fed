"""Bring your own model: train and serve by Amazon SageMaker's container contract.

    from byo_container import Handler, InputError

What follows is the public API, for the code that brings a model; docs/handlers.md is its guide, byo_container.testing
tests it. Every name is imported when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from byo_container.container.channels import Channel
    from byo_container.container.checkpoints import Checkpoints
    from byo_container.container.failure import JobError, JobStopped
    from byo_container.container.handler import Conversation, Handler, InputError, RequestContext
    from byo_container.container.hyperparameters import Aliases, Range
    from byo_container.container.job import TrainingJob
    from byo_container.container.process.stop_flag import StopFlag
    from byo_container.container.progress import Progress

__all__ = [
    "Aliases",
    "Channel",
    "Checkpoints",
    "Conversation",
    "Handler",
    "InputError",
    "JobError",
    "JobStopped",
    "Progress",
    "Range",
    "RequestContext",
    "StopFlag",
    "TrainingJob",
]

_MODULES = {
    "Aliases": "byo_container.container.hyperparameters",
    "Channel": "byo_container.container.channels",
    "Checkpoints": "byo_container.container.checkpoints",
    "Conversation": "byo_container.container.handler",
    "Handler": "byo_container.container.handler",
    "InputError": "byo_container.container.handler",
    "JobError": "byo_container.container.failure",
    "JobStopped": "byo_container.container.failure",
    "Progress": "byo_container.container.progress",
    "Range": "byo_container.container.hyperparameters",
    "RequestContext": "byo_container.container.handler",
    "StopFlag": "byo_container.container.process.stop_flag",
    "TrainingJob": "byo_container.container.job",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
