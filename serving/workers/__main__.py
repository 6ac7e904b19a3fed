"""gunicorn as `serve` starts it: with our configuration, our application and our arbiter.

https://gunicorn.org/custom/
"""

from __future__ import annotations

from gunicorn.app.base import Application as GunicornApplication

from byo_container.serving.api.app import Application
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.workers.application import create_application
from byo_container.serving.workers.arbiter import Arbiter
from byo_container.serving.workers.config import configuration


class Gunicorn(GunicornApplication):  # type: ignore[misc]
    """One run of gunicorn, for the run of `serve` that this process belongs to."""

    def __init__(self) -> None:
        self._run = RunFolder.from_environment()
        self._settings = self._run.read_settings()
        super().__init__(prog="gunicorn")

    def load_config(self) -> None:
        """Our configuration, and what GUNICORN_CMD_ARGS changes in it."""
        for name, value in configuration(self._run, self._settings).items():
            self.cfg.set(name, value)
        arguments = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        for name, value in vars(arguments).items():
            if value is not None and name != "args":
                self.cfg.set(name, value)
        self.chdir()  # which also puts the working directory on the path, where a model's code may lie

    def load(self) -> Application:
        """In each worker."""
        return create_application(self._run, self._settings)

    def run(self) -> None:
        Arbiter(self, load_timeout_s=self._settings.startup_timeout_s).run()


Gunicorn().run()
