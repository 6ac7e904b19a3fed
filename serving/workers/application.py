"""What one worker serves. Made in the worker, after the fork: frameworks do not survive one."""

from __future__ import annotations

from functools import partial

from byo_container.container.discovery import code_folders, put_on_path
from byo_container.container.paths import Paths
from byo_container.serving.api.app import Application, create_app
from byo_container.serving.models.find import find
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.multi_model.server import MultiModelServer
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import Settings


def create_application(run: RunFolder, settings: Settings) -> Application:
    """The application of this worker. Its model begins to load at once, in a thread of its own."""
    paths = Paths.from_environment()
    if settings.multi_model:
        put_on_path(code_folders(paths))  # the image's code, for all models
        return create_app(MultiModelServer(paths, settings, run), settings)
    model = ModelServer(partial(find, paths, settings), paths.model, settings, only=True)
    return create_app(model, settings)
