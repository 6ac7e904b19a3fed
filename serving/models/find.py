"""Which kind of model lies below /opt/ml: one with a handler, or one with an inference script."""

from __future__ import annotations

from byo_container.container.discovery import InferenceScript, code_folders, export_path, find_for_serving, put_on_path
from byo_container.container.paths import Paths
from byo_container.serving.models.handler.model import HandlerModel
from byo_container.serving.models.servable import Servable
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
