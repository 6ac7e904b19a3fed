"""Many models in one server, by the contract of multi-model endpoints.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html

What is loaded is said by the registry, for all workers. A worker has in memory what it was asked for: it loads a model
at its first request there, and gives up those that were used longest ago where memory runs short. So a model that is
asked for rarely takes memory once and not once for each worker.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
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
from byo_container.serving.multi_model.model_folders import ModelFolders, in_words
from byo_container.serving.multi_model.registry import Entry, Registry
from byo_container.serving.multi_model.worker_messages import Control
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import Settings


class MultiModelServer:
    """A worker's part of an endpoint of many models."""

    def __init__(self, paths: Paths, settings: Settings, run: RunFolder) -> None:
        self.engine = AlwaysAvailable()
        self.load_finished = True
        self.execution_parameters: Mapping[str, Any] = {}
        self.on_retire: Callable[[], None] = lambda: None
        self._paths = paths
        self._settings = settings
        self._memory = settings.models_memory // settings.workers
        # Of each name at most one model, the one used longest ago first. It is here before it takes up any memory, and
        # leaves in the moment in which it begins to be freed.
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._leaving: set[LoadedModel] = set()
        self._making_room = BoundedSemaphore()
        self._registry = Registry(run.registry)
        self._folders = ModelFolders(paths.models, run.unpacked_models, self._memory)
        self._folders.discard_abandoned(self._registry)
        # Before any request: who removes a model asks all workers that have one of these.
        self._control = Control(run.control_sockets, lambda request: self._unload(request["unload"]))
        enter(WorkerState.READY)

    @property
    def description(self) -> dict[str, Any]:
        """What a person is told of the server."""
        megabytes = f"{self._settings.models_memory >> 20} MB for all workers"
        return {"models": f"many, below {self._paths.models}", "their memory": megabytes}

    def ping(self) -> int:
        """Always 200: that no model is there is no fault of the server's."""
        return 200

    def load(self, name: str, url: str) -> None:
        """POST /models. All workers have the model when this returns. Raises RequestError: 409 for one that is loaded,
        400 for a url that is none of ours, 507 where there is no room, 500 for one that cannot be loaded."""
        with self._registry.claimed(name):
            if self._registry.get(name):
                raise RequestError(409, f"the model {name!r} is loaded already; DELETE it to load another by its name")
            loaded = self._begin(self._folders.find(name, url), listed=False)
            try:
                loaded.wait()
                self._list(loaded)
            except BaseException:
                self._let_go(loaded).join()
                self._folders.discard(name)
                raise

    def unload(self, name: str) -> None:
        """DELETE /models/N. No worker has it in memory any more when this returns. Raises RequestError 404, 409 while
        it is being loaded, 504 where a computation keeps it."""
        self.described(name)
        with self._registry.claimed(name):
            entry = self.described(name)
            self._registry.remove(entry)
            # Who has looked it up before has it in a table now, without a pause; who looks from now on finds nothing.
            asked = {"unload": entry.version}
            others = gevent.spawn(self._control.ask_others, asked, self._settings.timeout_s + 2 * FREE_S)
            freed = [self._unload(entry.version), *others.get()]
            self._folders.discard(name)
        if not all(freed):
            raise RequestError(504, f"the model {name!r} is gone, but a request of its own keeps it in memory for now")

    def described(self, name: str) -> Entry:
        """GET /models/N. Raises RequestError 404."""
        entry = self._registry.get(name)
        if entry is None:
            raise RequestError(404, f"there is no model {name!r} here; POST /models loads one")
        return entry

    def page(self, token: str, size: int) -> tuple[list[Entry], str]:
        """GET /models."""
        return self._registry.page(token, size)

    def respond(self, name: str, request: Request) -> Reply:
        """POST /models/N/invoke. Raises RequestError 404, 507, and what the model raises."""
        loaded = self._take(name)
        try:
            assert loaded.server
            reply = loaded.server.respond(request)
        except BaseException:
            loaded.users -= 1
            raise
        if reply.stream:
            reply.stream.on_close(loaded.give_back)
        else:
            loaded.users -= 1
        return reply

    # --- what is in memory ------------------------------------------------------------------------

    def _take(self, name: str) -> LoadedModel:
        """The version that is listed at this moment, in memory and counted as in use. Raises RequestError."""
        while True:
            loaded = self._loaded.get(name)
            if loaded is None or not self._registry.lists(loaded.entry):
                if loaded and loaded.listed:  # removed by a worker that could not tell us so
                    self._let_go(loaded)
                loaded = self._begin(self.described(name), listed=True)
            self._loaded.move_to_end(name)
            # No pause since the look into the registry: whoever removes the model finds it here, and in use.
            loaded.users += 1
            if loaded.ready:
                return loaded
            try:
                loaded.wait()
                return loaded
            except SupersededError:
                loaded.users -= 1
            except BaseException:
                loaded.users -= 1
                raise

    def _begin(self, entry: Entry, listed: bool) -> LoadedModel:
        """Begins to load. It is in the table before anything pauses: who asks for it meanwhile waits for this one."""
        other = self._loaded.get(entry.name)
        if other:
            self._let_go(other)
        loaded = self._loaded[entry.name] = LoadedModel(entry, listed)
        prometheus.models.set(len(self._loaded))
        gevent.spawn(self._into_memory, loaded)
        return loaded

    def _into_memory(self, loaded: LoadedModel) -> None:
        """In a greenlet of its own: the request that wanted it may end before."""
        try:
            gevent.joinall([other.leaving for other in self._leaving if other.entry.name == loaded.entry.name])
            with self._making_room:
                self._make_room(loaded)
                loaded.start(self._paths, self._settings, lambda: self.on_retire())
            loaded.finish()
        except Exception as error:
            if isinstance(error, JobError | OSError):
                error = RequestError(500, f"the model cannot be loaded: {error}")
            known = in_words(error)
            if not isinstance(known, RequestError):
                log.exception("the model %r cannot be loaded", loaded.entry.name)
                known = RequestError(500, f"the model cannot be loaded: {type(error).__name__}: {error}")
            loaded.fail(known)
            self._let_go(loaded)  # the next request tries again

    def _make_room(self, loaded: LoadedModel) -> None:
        """Gives up models that nobody uses at the moment, the one used longest ago first, until this one fits. Raises
        RequestError 507."""
        limit, size = self._memory, loaded.entry.size
        while loaded.leaving is None:
            resident = resident_bytes()
            coming = sum(other.entry.size for other in self._loaded.values() if other.loading)
            if resident + coming + size <= limit:
                return
            idle = next((other for other in self._loaded.values() if other.ready and not other.users), None)
            if resident + size > limit and idle:
                log.info("the model %r gives its memory to another one", idle.entry.name)
                self._let_go(idle).join()
            elif coming or self._leaving:
                gevent.sleep(POLL_S)  # by and by it is known what they take, or give back
            else:
                raise RequestError(
                    507,
                    f"there is not enough memory: a worker may have {limit >> 20} MB, has {resident >> 20} MB, "
                    f"and the model takes at least {size >> 20} MB",
                )

    def _let_go(self, loaded: LoadedModel) -> gevent.Greenlet:
        """Takes a model off the table at once; what is returned frees it, and has as its value whether it could."""
        if self._loaded.get(loaded.entry.name) is loaded:
            del self._loaded[loaded.entry.name]
            prometheus.models.set(len(self._loaded))
        if loaded.leaving is None:
            self._leaving.add(loaded)
            loaded.leaving = gevent.spawn(self._free, loaded)
        return loaded.leaving

    def _free(self, loaded: LoadedModel) -> bool:
        try:
            return loaded.close(self._settings.timeout_s)
        except Exception:
            log.exception("the model %r does not leave memory", loaded.entry.name)
            return False
        finally:
            self._leaving.discard(loaded)
            free_memory()

    def _unload(self, version: str) -> bool:
        """Whether that version has left this worker's memory, or was not there."""
        there = [one for one in (*self._loaded.values(), *self._leaving) if one.entry.version == version]
        leaving = [self._let_go(one) for one in there]
        gevent.joinall(leaving)
        return all(greenlet.value for greenlet in leaving)

    def _list(self, loaded: LoadedModel) -> None:
        try:
            self._registry.add(loaded.entry)
        except OSError as error:
            raise in_words(error) from None
        loaded.listed = True


class AlwaysAvailable:
    """What tells a worker's sockets whether to take requests: always, while there are many models to ask."""

    load_finished = True
    all_threads_busy = above_latency_threshold = has_enough_queued = False

    def __init__(self) -> None:
        self.on_delivered: Callable[[], None] = lambda: None


def resident_bytes() -> int:
    """The memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_memory() -> None:
    """Gives back to the system what is not used any more."""
    gc.collect()
    with suppress(AttributeError, OSError):  # musl has no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)
