"""Which models an endpoint of many models holds, as files that all workers see.

A worker that is started anew finds there what its predecessor had. A model is there from the moment on that its load
has succeeded, until the moment that its removal begins.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from container.handler import write_atomically
from serving.errors import RequestError

PAGE = 100  # models in one answer of GET /models, as in multi-model-server


@dataclass(frozen=True)
class Entry:
    """A model by its opaque name: the folder that the platform named, and the one that is loaded, which is another
    where the platform named an archive."""

    name: str
    url: str
    folder: Path

    def as_json(self) -> dict[str, str]:
        return {"modelName": self.name, "modelUrl": self.url}


class Registry:
    """The models in `folder`, a file for each; names are hashed, because they may hold any character."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> Entry | None:
        try:
            return _read(self._file(name))
        except (FileNotFoundError, UnicodeEncodeError):  # the latter: bytes that are no text are nobody's name
            return None

    def add(self, entry: Entry) -> None:
        """All workers can see it when this returns."""
        described = {"name": entry.name, "url": entry.url, "folder": str(entry.folder)}
        write_atomically(self._file(entry.name), orjson.dumps(described).decode())

    def remove(self, name: str) -> None:
        self._file(name).unlink()

    @contextmanager
    def claimed(self, name: str) -> Iterator[None]:
        """Nobody else loads or removes the model meanwhile. Raises RequestError 409 where somebody does. A worker that
        dies lets go of it."""
        lock = os.open(self._file(name).with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RequestError(409, f"the model {name!r} is being loaded or removed at this moment") from None
            yield
        finally:
            os.close(lock)

    def page(self, token: str = "", size: int = PAGE) -> tuple[list[Entry], str]:
        """Models in the order of their names, from behind the one that a token stands for, and the token of the next
        page, empty on the last. Raises RequestError 400 for a token that is none."""
        after = _name_of(token) if token else ""
        entries = sorted((entry for entry in self._entries() if entry.name > after), key=lambda entry: entry.name)
        more = len(entries) > size
        return entries[:size], _token(entries[size - 1].name) if more else ""

    def _entries(self) -> Iterator[Entry]:
        for path in self._folder.glob("*.json"):
            with suppress(FileNotFoundError):  # removed since
                yield _read(path)

    def _file(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


def _read(path: Path) -> Entry:
    described = orjson.loads(path.read_bytes())
    return Entry(described["name"], described["url"], Path(described["folder"]))


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (UnicodeError, binascii.Error):
        raise RequestError(400, f"next_page_token {token!r} is none that GET /models has given") from None
