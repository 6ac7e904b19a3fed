"""The files of a model: a folder that the platform names, or an archive, unpacked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.files.archives import ArchiveSizeError, unpack
from byo_container.container.files.disk_space import FULL
from byo_container.serving.engine.thread_pool import Result, run_in_thread
from byo_container.serving.errors import RequestError
from byo_container.serving.multi_model.registry import Entry, Registry, key_of
from byo_container.serving.settings import folder_bytes

ARCHIVES = (".tar.gz", ".tgz", ".tar")


class ModelFolders:
    """The models below `models`. Archives are unpacked below `unpacked`, a folder for each name; none may take more
    than `most_bytes`."""

    def __init__(self, models: Path, unpacked: Path, most_bytes: int) -> None:
        self._models = models
        self._unpacked = unpacked
        self._most_bytes = most_bytes

    def find(self, name: str, url: str) -> Entry:
        """The model at `url`; an archive is unpacked. The caller has claimed the name. Raises RequestError: 400 where
        no model is, 507 where there is no room; it leaves nothing behind then."""
        path = self._path(url)
        if path.is_dir():
            return Entry(name, url, path, _in_thread(folder_bytes, path))
        try:
            folder = _in_thread(self._unpack, path, self._unpacked / key_of(name))
            return Entry(name, url, folder, _in_thread(folder_bytes, folder))
        except BaseException:
            self.discard(name)
            raise

    def discard(self, name: str) -> None:
        """Removes what was unpacked for a model."""
        _in_thread(_remove, self._unpacked / key_of(name))

    def discard_abandoned(self, registry: Registry) -> None:
        """Removes the leftovers of workers that were killed while they loaded or removed a model."""
        for folder in self._unpacked.glob("*"):
            with registry.claim(folder.name) as ours:
                if ours and not registry.has(folder.name):
                    _remove(folder)

    def _path(self, url: str) -> Path:
        """Raises RequestError 400."""
        root = self._models.resolve()
        try:
            path = Path(url).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise RequestError(400, f"url is {url!r}, where there is nothing") from None
        if not path.is_relative_to(root) or path == root:
            raise RequestError(400, f"url is {url!r}, which is not below {self._models}")
        if not path.is_dir() and not path.name.endswith(ARCHIVES):
            raise RequestError(400, f"url is {url!r}; it should be a folder or one of {', '.join(ARCHIVES)}")
        return path

    def _unpack(self, archive: Path, parent: Path) -> Path:
        _remove(parent)  # of an older version, or left by a worker that was killed
        parent.mkdir(parents=True)
        folder = Path(tempfile.mkdtemp(dir=parent))  # new for each version: another one may still be read
        unpack(archive, folder, most_bytes=self._most_bytes)
        return folder


def _in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Calls a function that works with files while other requests are answered. Raises RequestError for what is wrong
    with them: 507 for a lack of room, else 400."""
    try:
        return run_in_thread(function, *arguments)
    except Exception as error:
        raise as_request_error(error) from None


def as_request_error(error: Exception) -> Exception:
    """An error with a model's files as a RequestError; any other error as it is."""
    if isinstance(error, ArchiveSizeError):
        return RequestError(507, str(error))
    if isinstance(error, MemoryError):
        return RequestError(507, f"there is not enough memory {error}".rstrip())
    if isinstance(error, OSError) and error.errno in FULL:
        return RequestError(507, "the disk is full, so the model cannot be loaded; remove another one")
    if isinstance(error, RecursionError):
        return RequestError(400, "the model cannot be read: its folders lie too deep in one another")
    if isinstance(error, JobError):
        return RequestError(400, str(error))
    return RequestError(400, f"the model cannot be read: {error}") if isinstance(error, OSError) else error


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
