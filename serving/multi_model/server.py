"""The models of a multi-model endpoint in one worker.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html

The registry says which models are loaded, for all workers. A worker has in memory what was invoked there: it loads a
model at its first request, and evicts the least recently used ones where memory runs short. So a model that is rarely
invoked takes memory once, and not once for each worker.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.container.paths import Paths
from byo_container.serving.errors import RequestError
from byo_container.serving.metrics import prometheus
from byo_container.serving.metrics.worker_state import WorkerState, enter
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.multi_model.loaded_model import FREE_S, POLL_S, LoadedModel, SupersededError
from byo_container.serving.multi_model.model_folders import ModelFolders, as_request_error
from byo_container.serving.multi_model.registry import Entry, Registry
from byo_container.serving.multi_model.worker_messages import WorkerChannel
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import Settings


class MultiModelServer:
    """A worker's part of a multi-model endpoint."""

    engine = None
    """Each model has an engine and a queue of its own, so the worker accepts all connections."""

    def __init__(self, paths: Paths, settings: Settings, run: RunFolder) -> None:
        self.load_finished = True
        self.execution_parameters: Mapping[str, Any] = {}
        self._paths = paths
        self._settings = settings
        self._memory = settings.models_memory // settings.workers
        # By name, least recently used first. A model is here before it takes up any memory, until its eviction begins.
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._evicting: set[LoadedModel] = set()
        self._making_room = BoundedSemaphore()
        self._registry = Registry(run.registry)
        self._folders = ModelFolders(paths.models, run.unpacked_models, self._memory)
        self._folders.discard_abandoned(self._registry)
        # Before any request: the worker that unloads a model sends a message to all workers that have a channel.
        self._channel = WorkerChannel(run.control_sockets, self._on_message)
        enter(WorkerState.READY)

    @property
    def description(self) -> dict[str, Any]:
        """What the test page shows of the server."""
        megabytes = f"{self._settings.models_memory >> 20} MB for all workers"
        return {"models": f"many, below {self._paths.models}", "their memory": megabytes}

    def ping(self) -> int:
        """Always 200: a server without models is healthy."""
        return 200

    def load(self, name: str, url: str) -> None:
        """POST /models. All workers have the model when this returns. Raises RequestError: 409 where it is loaded
        already, 400 for a url that holds no model, 507 where there is no room, 500 where it cannot be loaded."""
        with self._registry.claimed(name):
            if self._registry.get(name):
                raise RequestError(409, f"the model {name!r} is loaded already; DELETE it to load another by its name")
            loaded = self._begin_load(self._folders.find(name, url), listed=False)
            try:
                loaded.wait()
                self._list(loaded)
            except BaseException:
                self._evict(loaded).join()
                self._folders.discard(name)
                raise

    def unload(self, name: str) -> None:
        """DELETE /models/N. No worker has it in memory any more when this returns. Raises RequestError 404, 409 while
        it is being loaded, 504 where a computation keeps it."""
        self.describe(name)
        with self._registry.claimed(name):
            entry = self.describe(name)
            self._registry.remove(entry)
            # A worker that looked the model up before has it in its table by now, for it does not yield in between. One
            # that looks it up from now on does not find it.
            message = {"unload": entry.version}
            others = gevent.spawn(self._channel.ask_others, message, self._settings.timeout_s + 2 * FREE_S)
            unloaded = [self._evict_version(entry.version), *others.get()]
            self._folders.discard(name)
        if not all(unloaded):
            raise RequestError(504, f"the model {name!r} is gone, but a request of its own keeps it in memory for now")

    def describe(self, name: str) -> Entry:
        """GET /models/N. Raises RequestError 404."""
        entry = self._registry.get(name)
        if entry is None:
            raise RequestError(404, f"there is no model {name!r} here; POST /models loads one")
        return entry

    def page(self, token: str, size: int) -> tuple[list[Entry], str]:
        """GET /models: at most `size` models in the order of their names, and the token of the next page."""
        return self._registry.page(token, size)

    def respond(self, name: str, request: Request) -> Reply:
        """POST /models/N/invoke. Raises RequestError 404, 507, and what the model raises."""
        loaded = self._acquire(name)
        try:
            assert loaded.server
            reply = loaded.server.respond(request)
        except BaseException:
            loaded.release()
            raise
        if reply.stream:
            reply.stream.on_close(loaded.release)
        else:
            loaded.release()
        return reply

    # --- what is in memory ------------------------------------------------------------------------

    def _acquire(self, name: str) -> LoadedModel:
        """The version that is listed at this moment, in memory and with one user more. Raises RequestError."""
        while True:
            loaded = self._loaded.get(name)
            if loaded is None or not self._registry.lists(loaded.entry):
                if loaded and loaded.listed:  # unloaded by a worker that could not reach this one
                    self._evict(loaded)
                loaded = self._begin_load(self.describe(name), listed=True)
            self._loaded.move_to_end(name)
            # Nothing has yielded since the look into the registry: a worker that unloads the model finds it in use.
            loaded.users += 1
            if loaded.ready:
                return loaded
            try:
                loaded.wait()
                return loaded
            except SupersededError:
                loaded.release()
            except BaseException:
                loaded.release()
                raise

    def _begin_load(self, entry: Entry, listed: bool) -> LoadedModel:
        """Begins to load. The model is in the table before anything yields: other requests for it wait for this one."""
        other = self._loaded.get(entry.name)
        if other:
            self._evict(other)
        loaded = self._loaded[entry.name] = LoadedModel(entry, listed)
        prometheus.models.set(len(self._loaded))
        gevent.spawn(self._load_into_memory, loaded)
        return loaded

    def _load_into_memory(self, loaded: LoadedModel) -> None:
        """In a greenlet of its own: the request that needs the model may end before."""
        try:
            gevent.joinall([other.eviction for other in self._evicting if other.entry.name == loaded.entry.name])
            with self._making_room:
                self._make_room(loaded)
                loaded.start(self._paths, self._settings)
            loaded.finish()
        except Exception as error:
            if isinstance(error, JobError | OSError):
                error = RequestError(500, f"the model cannot be loaded: {error}")
            known = as_request_error(error)
            if not isinstance(known, RequestError):
                log.exception("the model %r cannot be loaded", loaded.entry.name)
                known = RequestError(500, f"the model cannot be loaded: {type(error).__name__}: {error}")
            loaded.fail(known)
            self._evict(loaded)  # the next request tries again

    def _make_room(self, loaded: LoadedModel) -> None:
        """Evicts models that have no users, least recently used first, until this one fits. Raises RequestError 507."""
        limit, size = self._memory, loaded.entry.size
        while loaded.eviction is None:
            resident = resident_bytes()
            coming = sum(other.entry.size for other in self._loaded.values() if other.is_loading)
            if resident + coming + size <= limit:
                return
            idle = next((other for other in self._loaded.values() if other.ready and not other.users), None)
            if resident + size > limit and idle:
                eviction = self._evict(idle)  # first of all: while a line is logged, a request may take the model
                log.info("the model %r is evicted, for another one needs its memory", idle.entry.name)
                eviction.join()
            elif coming or self._evicting:
                gevent.sleep(POLL_S)  # soon it is known how much memory they take or free
            else:
                raise RequestError(
                    507,
                    f"there is not enough memory: a worker may have {limit >> 20} MB, has {resident >> 20} MB, "
                    f"and the model takes at least {size >> 20} MB",
                )

    def _evict(self, loaded: LoadedModel) -> gevent.Greenlet:
        """Removes a model from the table at once. The greenlet unloads it; its value says whether that succeeded."""
        if self._loaded.get(loaded.entry.name) is loaded:
            del self._loaded[loaded.entry.name]
            prometheus.models.set(len(self._loaded))
        if loaded.eviction is None:
            self._evicting.add(loaded)
            loaded.eviction = gevent.spawn(self._close, loaded)
        return loaded.eviction

    def _close(self, loaded: LoadedModel) -> bool:
        try:
            return loaded.close(self._settings.timeout_s)
        except Exception:
            log.exception("the model %r does not leave memory", loaded.entry.name)
            return False
        finally:
            self._evicting.discard(loaded)
            free_memory()

    def _evict_version(self, version: str) -> bool:
        """Whether that version has left this worker's memory, or was not there."""
        found = [one for one in (*self._loaded.values(), *self._evicting) if one.entry.version == version]
        evictions = [self._evict(one) for one in found]
        gevent.joinall(evictions)
        return all(greenlet.value for greenlet in evictions)

    def _on_message(self, message: dict[str, str]) -> bool:
        """Another worker's request to unload a version of a model."""
        return self._evict_version(message["unload"])

    def _list(self, loaded: LoadedModel) -> None:
        try:
            self._registry.add(loaded.entry)
        except OSError as error:
            raise as_request_error(error) from None
        loaded.listed = True


def resident_bytes() -> int:
    """The resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_memory() -> None:
    """Returns unused memory to the system."""
    gc.collect()
    with suppress(AttributeError, OSError):  # musl has no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)
