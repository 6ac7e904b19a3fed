"""Many models in one server, by the contract of multi-model endpoints.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html

What is loaded is said by the registry, for all workers. A worker has in memory what it was asked for: it loads a model
at its first request there, and gives up those that were used longest ago where memory runs short. So a model that is
asked for rarely takes memory once and not once for each worker.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent

from container.archives import unpack
from container.failure import JobError
from container.handler import Conversation, code_folders
from container.log import log
from container.paths import Paths
from serving import metrics, models
from serving.control import Control
from serving.errors import RequestError
from serving.isolation import ModelCode
from serving.models import ModelServer, Reply, Request, Servable
from serving.registry import Entry, Registry
from serving.settings import Settings, folder_bytes
from serving.streaming import stepping
from serving.waiting import Batching

ARCHIVES = (".tar.gz", ".tgz", ".tar")
# Beyond the time that a computation may take: for a model to leave memory.
FREE_S = 5.0


@dataclass(frozen=True)
class OneOfMany(Paths):
    """The tree below /opt/ml as one of many models sees it: its own folder, and the image's code."""

    folder: Path = Path()

    @property
    def model(self) -> Path:
        return self.folder


class Isolated:
    """A model whose own code is kept apart from that of all others."""

    def __init__(self, paths: OneOfMany, settings: Settings) -> None:
        own = [folder for folder in code_folders(paths) if folder.is_relative_to(paths.folder)]
        self._code = ModelCode(own)
        with self._code.active():
            self._servable: Servable = models.find_servable(paths, settings)

    @property
    def batching(self) -> Batching:
        return self._servable.batching

    @property
    def description(self) -> dict[str, Any]:
        return self._servable.description

    @property
    def execution_parameters(self) -> Mapping[str, Any]:
        return self._servable.execution_parameters

    def respond(self, request: Request, submit: Callable[..., Any]) -> Reply:
        return self._servable.respond(request, stepping(submit, self._code.active))

    def converse(self, message: str | bytes, conversation: Conversation, submit: Callable[..., Any]) -> Iterator[Any]:
        return self._servable.converse(message, conversation, stepping(submit, self._code.active))

    def load(self) -> None:
        with self._code.active():
            self._servable.load()

    def compute(self, items: list[Any]) -> list[Any]:
        with self._code.active():
            return self._servable.compute(items)

    def forget(self) -> None:
        """Lets go of the model, whoever still holds this object."""
        del self._servable
        self._code.forget()


class Loaded:
    """A model in this worker's memory, or on its way there."""

    def __init__(self, entry: Entry, paths: Paths, settings: Settings) -> None:
        self.users = 0
        self._servable = Isolated(OneOfMany(paths.root, entry.folder), settings)
        self.server = ModelServer(self._servable, settings)

    def wait(self) -> None:
        """Until it is loaded, while other requests are answered. Raises RequestError where it cannot be."""
        while not self.server.settled:
            gevent.sleep(0.002)
        if self.server.out_of_memory:
            raise RequestError(507, f"there is not enough memory for the model: {self.server.failure}")
        if self.server.failure:
            raise RequestError(500, f"the model cannot be loaded: {self.server.failure}")

    def close(self, within_s: float) -> bool:
        """Frees what it holds, after the requests that it has. False where one does not end in time."""
        with suppress(gevent.Timeout), gevent.Timeout(within_s):
            while self.users or not self.server.settled:
                gevent.sleep(0.002)
        ended = self.server.engine.close(FREE_S)
        self._servable.forget()
        return ended


class ManyModels:
    """A worker's part of an endpoint of many models."""

    def __init__(self, paths: Paths, settings: Settings, runtime: Path) -> None:
        self.engine = Unoccupied()
        self.settled = True
        self.execution_parameters: Mapping[str, Any] = {}
        self.on_retire: Callable[[], None] = lambda: None
        self._paths = paths
        self._settings = settings
        self._unpacked = runtime / "unpacked"
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()  # the one used longest ago first
        self._registry = Registry(runtime / "models")
        self._control = Control(runtime / "control", self._answer)
        (runtime / "ready").touch()
        metrics.enter(metrics.READY)

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
        400 for a url that is none of ours, 507 where memory does not suffice, 500 for one that cannot be loaded."""
        with self._registry.claimed(name):
            if self._registry.get(name):
                raise RequestError(409, f"the model {name!r} is loaded already; DELETE it to load another by its name")
            entry = Entry(name, url, self._folder(name, url))
            try:
                self._into_memory(entry).wait()
                self._registry.add(entry)
            except BaseException:
                self._out_of_memory(name)
                self._discard(entry)
                raise

    def unload(self, name: str) -> None:
        """DELETE /models/N. No worker has it in memory any more when this returns. Raises RequestError 404, 409 while
        it is being loaded, 504 where a computation keeps it."""
        self.described(name)
        with self._registry.claimed(name):
            entry = self.described(name)
            self._registry.remove(name)
            others = gevent.spawn(self._control.ask_others, {"unload": name}, self._settings.timeout_s + 2 * FREE_S)
            freed = [self._out_of_memory(name), *others.get()]
            self._discard(entry)
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
        # Without a pause between looking and using: whoever unloads it sees that it is in use.
        loaded = self._loaded.get(name) or self._into_memory(self.described(name))
        self._loaded.move_to_end(name)
        loaded.users += 1
        try:
            if not loaded.server.settled:
                loaded.wait()
            reply = loaded.server.respond(request)
        except BaseException:
            self._used(name, loaded)
            raise
        if reply.stream:
            reply.stream.on_close(lambda: self._used(name, loaded))
        else:
            self._used(name, loaded)
        return reply

    def converse(self, message: str | bytes, conversation: Conversation) -> Iterator[Any]:
        """No contract says which model a WebSocket of such a server would mean. Raises RequestError 404."""
        raise RequestError(404, "a server of many models has no conversations; POST /models/NAME/invoke")

    def _used(self, name: str, loaded: Loaded) -> None:
        loaded.users -= 1
        if loaded.server.failure and not loaded.users and self._loaded.get(name) is loaded:
            self._out_of_memory(name)  # the next request tries again

    def _into_memory(self, entry: Entry) -> Loaded:
        """Begins to load, once there is room. Raises RequestError 507 where there cannot be, 500 for a model that
        nobody can serve."""
        self._make_room(folder_bytes(entry.folder))
        try:
            loaded = Loaded(entry, self._paths, self._settings)
        except JobError as error:
            raise RequestError(500, f"the model cannot be loaded: {error}") from None
        loaded.server.on_retire = lambda: self.on_retire()
        self._loaded[entry.name] = loaded
        metrics.models.set(len(self._loaded))
        return loaded

    def _make_room(self, size: int) -> None:
        """Gives up models that nobody uses at the moment, the one used longest ago first, until `size` bytes fit."""
        limit = self._settings.models_memory // self._settings.workers
        while resident_bytes() + size > limit:
            idle = next((name for name, loaded in self._loaded.items() if not loaded.users), None)
            if idle is None:
                raise RequestError(
                    507,
                    f"there is not enough memory: a worker may have {limit >> 20} MB, has {resident_bytes() >> 20} MB, "
                    f"and the model takes at least {size >> 20} MB",
                )
            log.info("the model %r gives its memory to another one", idle)
            self._out_of_memory(idle)

    def _out_of_memory(self, name: str) -> bool:
        """Whether the model has left this worker's memory, or was not there."""
        loaded = self._loaded.pop(name, None)
        metrics.models.set(len(self._loaded))
        if loaded is None:
            return True
        ended = loaded.close(self._settings.timeout_s)
        del loaded
        free_memory()
        return ended

    def _answer(self, request: dict[str, str]) -> bool:
        return self._out_of_memory(request["unload"])

    def _folder(self, name: str, url: str) -> Path:
        """The folder to load, where an archive is unpacked first. Raises RequestError 400."""
        root = self._paths.models.resolve()
        try:
            path = Path(url).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise RequestError(400, f"url is {url!r}, where there is nothing") from None
        if not path.is_relative_to(root) or path == root:
            raise RequestError(400, f"url is {url!r}, which is not below {self._paths.models}")
        if path.is_dir():
            return path
        if not path.name.endswith(ARCHIVES):
            raise RequestError(400, f"url is {url!r}; it should be a folder or one of {', '.join(ARCHIVES)}")
        folder = self._unpacked / hashlib.sha256(name.encode()).hexdigest()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            gevent.get_hub().threadpool.apply(unpack, (path, folder))
        except JobError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RequestError(400, str(error)) from None
        return folder

    def _discard(self, entry: Entry) -> None:
        if entry.folder.is_relative_to(self._unpacked):
            shutil.rmtree(entry.folder, ignore_errors=True)


class Unoccupied:
    """What tells a worker's sockets whether to take requests: always, while there are many models to ask."""

    prepared = True
    busy = slow = provided = False

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
