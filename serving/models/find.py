"""Which kind of model lies below /opt/ml: one with a handler, or one with an inference script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from byo_container.container.discovery import InferenceScript, code_folders, export_path, find_for_serving, put_on_path
from byo_container.container.paths import Paths
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.models.handler.model import HandlerModel
from byo_container.serving.models.servable import Servable, ServableWrapper
from byo_container.serving.settings import Settings


def find(paths: Paths, settings: Settings) -> Servable:
    """What serves the model below `paths.root`, not loaded yet. Makes its code importable. Raises JobError."""
    folders = code_folders(paths)
    put_on_path(folders)
    export_path(folders)
    return find_servable(paths, settings)


def find_servable(paths: Paths, settings: Settings) -> Servable:
    """The same for a model whose code is not importable in the whole process."""
    found = find_for_serving(paths)
    if isinstance(found, InferenceScript):
        from byo_container.serving.models.script.model import ScriptModel

        return ScriptModel(found.path, paths.model, settings, found.module)
    return HandlerModel(found, paths.model, settings)


class LazyServable(ServableWrapper):
    """What serves the model of `paths`, found when it is loaded: a model without a handler is then a model that cannot
    be loaded, like any other, and does not end the process."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._settings = settings
        self._found = False

    @property
    def batch_policy(self) -> BatchPolicy:
        return self.servable.batch_policy if self._found else BatchPolicy()

    @property
    def execution_parameters(self) -> Mapping[str, Any]:
        return self.servable.execution_parameters if self._found else {}

    @property
    def description(self) -> dict[str, Any]:
        return self.servable.description if self._found else {"model": str(self._paths.model)}

    def load(self) -> None:
        self.servable = find(self._paths, self._settings)
        self._found = True
        self.servable.load()
