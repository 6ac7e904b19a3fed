"""One model of a multi-model endpoint in a worker's memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gevent
from gevent.event import Event

from byo_container.container.discovery import code_folders
from byo_container.container.paths import Paths
from byo_container.serving.errors import RequestError
from byo_container.serving.models.find import find_servable
from byo_container.serving.models.import_isolation import ModelCode
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.multi_model.registry import Entry
from byo_container.serving.settings import Settings

# How long a model may take to leave memory, beyond the time of its computation.
FREE_S = 5.0
POLL_S = 0.002


@dataclass(frozen=True)
class ModelPaths(Paths):
    """The tree below /opt/ml for one model of a multi-model endpoint: its own folder, and the image's code."""

    folder: Path = Path()

    @property
    def model(self) -> Path:
        return self.folder


class IsolatedModelServer(ModelServer):
    """A model whose own code is kept apart from that of all others. Raises OSError for code that cannot be read."""

    def __init__(self, paths: ModelPaths, settings: Settings) -> None:
        own = [folder for folder in code_folders(paths) if folder.is_relative_to(paths.folder)]
        self._code = ModelCode(own)
        super().__init__(partial(find_servable, paths, settings), paths.folder, settings)

    def load(self) -> None:
        with self._code.active():
            super().load()

    @contextmanager
    def context(self) -> Iterator[None]:
        with self._code.active(), super().context():
            yield

    def close(self, within_s: float) -> bool:
        """Ends its threads and releases the model, even where this object is still referenced. Returns False where a
        thread still computes after `within_s`."""
        ended = self.engine.close(within_s)
        vars(self).pop("_servable", None)
        self._code.unload()
        return ended


class SupersededError(RequestError):
    """This version of the model was unloaded before it was in memory. There may be a newer one."""


class LoadedModel:
    """One version of a model: being loaded into this worker's memory, there, or being evicted."""

    def __init__(self, entry: Entry, listed: bool) -> None:
        self.entry = entry
        self.listed = listed
        """Whether the registry has listed it already; not while POST /models loads it."""
        self.users = 0
        """Requests that the model answers, or that wait for it."""
        self.ready = False
        self.eviction: gevent.Greenlet | None = None
        """Frees its memory. Not None once the model must not be loaded any more. (Compare it with None: a greenlet is
        false before it has begun, and when it has ended.)"""
        self.server: IsolatedModelServer | None = None
        self._decided = Event()
        self._error: RequestError | None = None
        self._closed = False

    @property
    def is_loading(self) -> bool:
        """Whether it takes up memory at this moment, of unknown size."""
        return self.server is not None and not self._decided.is_set()

    def start(self, paths: Paths, settings: Settings) -> None:
        """Begins to load. Raises SupersededError, OSError."""
        if self.eviction is not None:
            raise self._superseded()
        self.server = IsolatedModelServer(ModelPaths(paths.root, self.entry.folder), settings)

    def finish(self) -> None:
        """Waits until it is loaded. Raises RequestError where it cannot be."""
        assert self.server
        while not self.server.load_finished:
            gevent.sleep(POLL_S)
        if self.server.failed_for_memory:
            raise RequestError(507, f"there is not enough memory for the model: {self.server.failure}")
        if self.server.failure:
            raise RequestError(500, f"the model cannot be loaded: {self.server.failure}")
        if self._closed:  # loading took longer than the eviction waits
            raise self._superseded()
        self.ready = True
        self._decided.set()

    def fail(self, error: RequestError) -> None:
        """Raises the error in all greenlets that wait for the model."""
        self._error = self._error or error
        self._decided.set()

    def wait(self) -> None:
        """Waits until it is loaded, while other requests are answered. Raises RequestError where it cannot be."""
        self._decided.wait()
        if self._error:  # a new one: each greenlet adds its own traceback
            raise type(self._error)(self._error.status, self._error.message)

    def release(self) -> None:
        """One user less."""
        self.users -= 1

    def close(self, within_s: float) -> bool:
        """Frees its memory once its requests are answered, or after `within_s`. False where a computation does not
        end."""
        if not self.server:
            self.fail(self._superseded())
        with suppress(gevent.Timeout), gevent.Timeout(within_s):
            while self.users or self.is_loading:
                gevent.sleep(POLL_S)
        self._closed = True
        return self.server.close(FREE_S) if self.server else True

    def _superseded(self) -> RequestError:
        return SupersededError(503, f"the model {self.entry.name!r} has been removed meanwhile")
