"""The application of one worker, made when gunicorn imports it there: loading of the model begins at once."""

from __future__ import annotations

from container.paths import Paths
from serving import models
from serving.app import create_app
from serving.settings import Settings, folder_bytes

paths = Paths.from_environment()
settings = Settings.from_environment(model_bytes=folder_bytes(paths.model))
model = models.ModelServer(models.find(paths, settings), settings, models.marker_path())
application = create_app(model, settings)
