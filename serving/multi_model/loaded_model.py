"""One of many models in a worker's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import gevent
from gevent.event import Event

from byo_container.container.discovery import code_folders
from byo_container.container.paths import Paths
from byo_container.serving.errors import RequestError
from byo_container.serving.models.find import find_servable
from byo_container.serving.models.import_isolation import ModelCode
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.models.servable import ServableWrapper
from byo_container.serving.multi_model.registry import Entry
from byo_container.serving.settings import Settings

# Beyond the time that a computation may take: for a model to leave memory.
FREE_S = 5.0
POLL_S = 0.002


@dataclass(frozen=True)
class ModelPaths(Paths):
    """The tree below /opt/ml as one of many models sees it: its own folder, and the image's code."""

    folder: Path = Path()

    @property
    def model(self) -> Path:
        return self.folder


class IsolatedModel(ServableWrapper):
    """A model whose own code is kept apart from that of all others. Raises JobError, OSError."""

    def __init__(self, paths: ModelPaths, settings: Settings) -> None:
        own = [folder for folder in code_folders(paths) if folder.is_relative_to(paths.folder)]
        self._code = ModelCode(own)
        try:
            with self._code.active():
                self.servable = find_servable(paths, settings)
        except BaseException:
            self._code.unload()
            raise

    def load(self) -> None:
        with self._code.active():
            self.servable.load()

    @contextmanager
    def context(self) -> Iterator[None]:
        with self._code.active(), self.servable.context():
            yield

    def unload(self) -> None:
        """Releases the model, even where this object is still referenced."""
        del self.servable
        self._code.unload()


class SupersededError(RequestError):
    """This version of the model has been removed before it was in memory: there may be another one."""


class LoadedModel:
    """One version of a model: on its way into this worker's memory, there, or on its way out."""

    def __init__(self, entry: Entry, listed: bool) -> None:
        self.entry = entry
        self.listed = listed
        """Whether the registry has listed it already; not while POST /models loads it."""
        self.users = 0
        """Requests that are being answered, or wait for it."""
        self.ready = False
        self.leaving: gevent.Greenlet | None = None
        """What frees it; not None from the moment on in which it is not to be loaded any more. (A greenlet is false
        before it has begun, and when it has ended.)"""
        self.server: ModelServer | None = None
        self._servable: IsolatedModel | None = None
        self._decided = Event()
        self._error: RequestError | None = None
        self._closed = False

    @property
    def loading(self) -> bool:
        """Whether it takes up memory at this moment, nobody knows how much."""
        return self.server is not None and not self._decided.is_set()

    def start(self, paths: Paths, settings: Settings, on_retire: Callable[[], None]) -> None:
        """Begins to load. Raises SupersededError, JobError, OSError."""
        if self.leaving is not None:
            raise self._superseded()
        self._servable = IsolatedModel(ModelPaths(paths.root, self.entry.folder), settings)
        self.server = ModelServer(self._servable, settings)
        self.server.on_retire = on_retire

    def finish(self) -> None:
        """Waits until it is loaded. Raises RequestError where it cannot be."""
        assert self.server
        while not self.server.load_finished:
            gevent.sleep(POLL_S)
        if self.server.failed_for_memory:
            raise RequestError(507, f"there is not enough memory for the model: {self.server.failure}")
        if self.server.failure:
            raise RequestError(500, f"the model cannot be loaded: {self.server.failure}")
        if self._closed:  # loading took longer than anybody waits for it to leave
            raise self._superseded()
        self.ready = True
        self._decided.set()

    def fail(self, error: RequestError) -> None:
        """Tells all who wait for it, and who will."""
        self._error = self._error or error
        self._decided.set()

    def wait(self) -> None:
        """Until it is loaded, while other requests are answered. Raises RequestError where it cannot be."""
        self._decided.wait()
        if self._error:  # a new one: each greenlet adds its own traceback
            raise type(self._error)(self._error.status, self._error.message)

    def give_back(self) -> None:
        """One user less."""
        self.users -= 1

    def close(self, within_s: float) -> bool:
        """Frees what it holds, after the requests that it has. False where one does not end in time."""
        if not self.server:
            self.fail(self._superseded())
        with suppress(gevent.Timeout), gevent.Timeout(within_s):
            while self.users or self.loading:
                gevent.sleep(POLL_S)
        self._closed = True
        ended = self.server.engine.close(FREE_S) if self.server else True
        if self._servable:
            self._servable.unload()
        return ended

    def _superseded(self) -> RequestError:
        return SupersededError(503, f"the model {self.entry.name!r} has been removed meanwhile")
