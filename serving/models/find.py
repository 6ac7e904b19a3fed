"""Which kind of model lies below /opt/ml: a handler's or an inference script's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from byo_container.container.discovery import InferenceScript, code_folders, export_path, find_for_serving, put_on_path
from byo_container.container.handler import Conversation
from byo_container.container.paths import Paths
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.models.handler.model import HandlerModel
from byo_container.serving.models.servable import Reply, Request, Servable
from byo_container.serving.settings import Settings


def find(paths: Paths, settings: Settings) -> Servable:
    """What serves the model below `paths.root`, not loaded yet, its code made importable. Raises JobError."""
    folders = code_folders(paths)
    put_on_path(folders)
    export_path(folders)
    return find_servable(paths, settings)


def find_servable(paths: Paths, settings: Settings) -> Servable:
    """The same for a model whose code need not be importable by everybody."""
    found = find_for_serving(paths)
    if isinstance(found, InferenceScript):
        from byo_container.serving.models.script.model import ScriptModel

        return ScriptModel(found.path, paths.model, settings, found.module)
    return HandlerModel(found, paths.model, settings)


class LazyServable:
    """What serves the model of `paths`, looked for where it is loaded: that nobody can serve a model is a fault of the
    model, as any other one that loading finds, and ends no process."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._settings = settings
        self._servable: Servable | None = None

    @property
    def found(self) -> Servable:
        assert self._servable, "nothing is asked of a model that was not loaded"
        return self._servable

    @property
    def batch_policy(self) -> BatchPolicy:
        return self._servable.batch_policy if self._servable else BatchPolicy()

    @property
    def execution_parameters(self) -> Mapping[str, Any]:
        return self._servable.execution_parameters if self._servable else {}

    @property
    def description(self) -> dict[str, Any]:
        return self._servable.description if self._servable else {"model": str(self._paths.model)}

    def load(self) -> None:
        self._servable = find(self._paths, self._settings)
        self._servable.load()

    def compute(self, items: list[Any]) -> list[Any]:
        return self.found.compute(items)

    def respond(self, request: Request, submit: Callable[..., Any]) -> Reply:
        return self.found.respond(request, submit)

    def converse(self, message: str | bytes, conversation: Conversation, submit: Callable[..., Any]) -> Iterator[Any]:
        return self.found.converse(message, conversation, submit)
