"""The application of one worker, made when gunicorn imports it there: loading of the model begins at once."""

from __future__ import annotations

from byo_container.container.discovery import code_folders, put_on_path
from byo_container.container.paths import Paths
from byo_container.serving.api.app import create_app
from byo_container.serving.models.find import LazyServable
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.multi_model.server import MultiModelServer
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import Settings


def worker_model(paths: Paths, settings: Settings, run: RunFolder) -> ModelServer | MultiModelServer:
    """What this worker serves: the one model, or whatever will be loaded."""
    if not settings.multi_model:
        return ModelServer(LazyServable(paths, settings), settings, only=True)
    put_on_path(code_folders(paths))  # the image's code, for all models
    return MultiModelServer(paths, settings, run)


run = RunFolder.from_environment()
settings = run.read_settings()
model = worker_model(Paths.from_environment(), settings, run)
application = create_app(model, settings)
