"""The folder that one run of `serve` makes: everything that its processes share on disk."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from byo_container.serving.settings import Settings

PREFIX = "byo-serve-"
LOCK = "lock"
PREDICTIONS_SOCKET = "gunicorn.sock"
# How the processes that `serve` starts learn where the folder is. Read here and nowhere else.
VARIABLE = "BYO_SERVE_RUNTIME"


@dataclass
class RunFolder:
    """Where each thing lies that several processes of a run use."""

    path: Path

    def __post_init__(self) -> None:
        path = self.path
        self.environment = {VARIABLE: str(path)}
        """Variables for a process that is to use this folder."""
        self.predictions_socket = path / PREDICTIONS_SOCKET
        """Where nginx sends what a model answers. A worker accepts there only what it can do something about."""
        self.health_socket = path / "health.sock"
        """Where nginx sends /ping and /metrics. Every worker accepts there at any time."""
        self.metrics = path / "metrics"
        """The table of metrics.shared_table."""
        self.nginx_config = path / "nginx.conf"
        self.sessions = path / "sessions"
        """The sessions of a stateful endpoint."""
        self.registry = path / "models"
        """In multi-model mode: which models are loaded."""
        self.unpacked_models = path / "unpacked"
        """In multi-model mode: the models that came as archives."""
        self.control_sockets = path / "control"
        """In multi-model mode: a socket for each worker, by which the others reach it."""
        self._settings = path / "settings.json"

    @classmethod
    def from_environment(cls) -> RunFolder:
        """The folder of the run that this process belongs to."""
        return cls(Path(os.environ[VARIABLE]))

    def write_settings(self, settings: Settings) -> None:
        """Hands the settings on to the processes that `serve` starts: read and checked once, they cannot differ."""
        self._settings.write_text(json.dumps(asdict(settings)))

    def read_settings(self) -> Settings:
        return Settings(**json.loads(self._settings.read_text()))


@contextmanager
def new_run_folder() -> Iterator[RunFolder]:
    """Makes the folder, and removes it at the end. Folders of runs that were killed are removed first: nobody holds
    their locks any more."""
    parent = Path(tempfile.gettempdir())
    for folder in parent.glob(f"{PREFIX}*"):
        _remove_if_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        # Held until the process ends. Not handed on to children, so it says whether `serve` itself lives.
        descriptor = os.open(Path(name) / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield RunFolder(Path(name))
        finally:
            os.close(descriptor)


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(OSError):  # another user's, one that is held, or one that has just been made and has no lock yet
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
