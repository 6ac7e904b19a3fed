"""The models of a multi-model endpoint, as files that all workers see.

A new worker finds there what its predecessor had. A model is listed from the moment in which its load has succeeded
until its removal begins.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import orjson

from byo_container.container.files.atomic import write_atomically
from byo_container.serving.errors import RequestError

PAGE = 100  # models in one answer of GET /models, as in multi-model-server


@dataclass(frozen=True)
class Entry:
    """One version of a model: its name, the url that the platform gave, and the folder that is loaded (of an archive,
    where it was unpacked). A model that is removed and loaded again is another version."""

    name: str
    url: str
    folder: Path
    size: int = 0
    """Bytes of all files in the folder."""
    version: str = field(default_factory=lambda: uuid.uuid4().hex)

    @cached_property
    def key(self) -> str:
        return key_of(self.name)

    def as_json(self) -> dict[str, str]:
        return {"modelName": self.name, "modelUrl": self.url}


def key_of(name: str) -> str:
    """A file name for a model, whose own name may hold any character. Raises UnicodeEncodeError for bytes that are no
    text."""
    return hashlib.sha256(name.encode()).hexdigest()


class Registry:
    """The models in `folder`. Each has a symbolic link, named by its key, to the file of the version that is listed:
    it can be read without opening a file, and changes in one step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> Entry | None:
        try:
            return _read(self._folder / key_of(name))
        except (FileNotFoundError, UnicodeEncodeError):  # the latter: no model has a name that is no text
            return None

    def lists(self, entry: Entry) -> bool:
        """Whether this very version is listed. For every request: 2 µs."""
        try:
            return os.readlink(f"{self._folder}/{entry.key}") == f"{entry.version}.json"
        except FileNotFoundError:
            return False

    def add(self, entry: Entry) -> None:
        """All workers see it when this returns. Raises OSError, and has added nothing then."""
        described = asdict(entry) | {"folder": str(entry.folder)}
        file = self._folder / f"{entry.version}.json"
        write_atomically(file, orjson.dumps(described).decode())
        try:
            (self._folder / entry.key).symlink_to(file.name)
        except OSError:
            file.unlink()
            raise

    def remove(self, entry: Entry) -> None:
        (self._folder / entry.key).unlink()
        (self._folder / f"{entry.version}.json").unlink(missing_ok=True)

    def has(self, key: str) -> bool:
        """Whether any version of the model with that key is listed."""
        return (self._folder / key).is_symlink()

    @contextmanager
    def claimed(self, name: str) -> Iterator[None]:
        """No other request loads or removes the model meanwhile. Raises RequestError 409 where one does."""
        with self.claim(key_of(name)) as ours:
            if not ours:
                raise RequestError(409, f"the model {name!r} is being loaded or removed at this moment")
            yield

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Locks the model with that key, to load or to remove it, until the end. Yields False where it is locked. A
        worker that dies releases it."""
        path = self._folder / f"{key}.lock"
        lock = _lock(path)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                path.unlink(missing_ok=True)  # before unlocking: a worker that opened it meanwhile sees that it is gone
                os.close(lock)

    def page(self, token: str = "", size: int = PAGE) -> tuple[list[Entry], str]:
        """Models in the order of their names, after the one that a token stands for, and the token of the next page,
        empty on the last. Raises RequestError 400 for an invalid token."""
        after = _name_of(token) if token else ""
        entries = sorted((entry for entry in self._entries() if entry.name > after), key=lambda entry: entry.name)
        more = len(entries) > size
        return entries[:size], _token(entries[size - 1].name) if more else ""

    def _entries(self) -> Iterator[Entry]:
        for path in self._folder.iterdir():
            if path.is_symlink():
                with suppress(FileNotFoundError):  # removed since
                    yield _read(path)


def _lock(path: Path) -> int | None:
    """Makes and locks a file; None where it is locked already."""
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(lock)):
                    return lock
        except BlockingIOError:
            os.close(lock)
            return None
        os.close(lock)  # its owner has removed it between our opening it and our locking it


def _read(path: Path) -> Entry:
    described = orjson.loads(path.read_bytes())
    return Entry(**described | {"folder": Path(described["folder"])})


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (UnicodeError, binascii.Error):
        raise RequestError(400, f"next_page_token {token!r} is none that GET /models has given") from None
