"""The application of one worker, made when gunicorn imports it there: loading of the model begins at once."""

from __future__ import annotations

from container.paths import Paths
from serving import models
from serving.app import create_app
from serving.settings import Settings

settings = Settings.from_environment()
model = models.ModelServer(models.find(Paths.from_environment(), settings), settings, models.marker_path())
application = create_app(model, settings)
