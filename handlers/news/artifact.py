"""The model folder: `news_breaker.keras`, and the `vocabulary-<fingerprint>.json` that belongs to it.

The network's name ends in the fingerprint of its vocabulary, and the vocabulary is written before the network replaces
the previous one. So a kill or a full disk at any moment leaves a complete model, the previous or the new one, and never
a network with the vocabulary of another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.failure import JobError
from byo_container.container.files.disk_errors import UNFINISHED, disk_errors_explained
from byo_container.handlers.news.categories import NAMES

if TYPE_CHECKING:
    import keras

    from byo_container.handlers.news.preprocessing.features import Features

NETWORK = "news_breaker.keras"
_NETWORK_NAME = re.compile(r"news_\w+_([0-9a-f]{16})")


def vocabulary_text(features: Features) -> str:
    """The content of the vocabulary file."""
    return json.dumps({"categories": NAMES, **features.to_json()}, ensure_ascii=False, indent=1) + "\n"


def network_name(architecture: str, features: Features) -> str:
    """The name that a network must have for `save`."""
    return f"news_{architecture}_{_fingerprint(vocabulary_text(features))}"


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _vocabulary_name(fingerprint: str) -> str:
    return f"vocabulary-{fingerprint}.json"


def save(network: keras.Model, features: Features, folder: Path) -> None:
    """Replaces the model in `folder` atomically. Raises JobError where it cannot be written; the previous model is then
    unchanged."""
    text = vocabulary_text(features)
    vocabulary = _vocabulary_name(_fingerprint(text))
    if not network.name.endswith(_fingerprint(text)):
        raise ValueError(f"the network {network.name!r} does not belong to {vocabulary}")
    with disk_errors_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove(folder.glob(f"{UNFINISHED}*"))  # of a run that was killed
        try:
            new_network, new_vocabulary = folder / (UNFINISHED + NETWORK), folder / (UNFINISHED + vocabulary)
            network.save(new_network)
            new_vocabulary.write_text(text, encoding="utf-8")
            _sync(new_network)
            _sync(new_vocabulary)
            _put(new_vocabulary, folder / vocabulary)
            _put(new_network, folder / NETWORK)
            _sync(folder)
        finally:
            _remove(folder.glob(f"{UNFINISHED}*"))
        _remove(path for path in folder.glob("vocabulary-*.json") if path.name != vocabulary)


def _remove(paths: Iterator[Path]) -> None:
    for path in list(paths):
        with contextlib.suppress(OSError):
            path.unlink()


def _put(unfinished: Path, path: Path) -> None:
    unfinished.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(folder: Path) -> tuple[keras.Model, Features]:
    """The network and the features that it was trained with. Raises JobError that says which file is
    missing or damaged."""
    path = folder / NETWORK
    if not path.is_file():
        content = ", ".join(sorted(entry.name for entry in folder.glob("*"))) or "nothing"
        raise JobError(f"{path} is missing, and a trained news model should be there; {folder} holds {content}")
    network = _load_network(path)
    match = _NETWORK_NAME.fullmatch(network.name)
    if not match:
        raise JobError(f"{path} holds a network called {network.name!r}, which is not one of the news handler's")
    return network, _load_features(folder / _vocabulary_name(match[1]), path)


def _load_network(path: Path) -> keras.Model:
    import keras

    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged archive fails in whatever part of Keras reads it first
        raise JobError(
            f"{path} cannot be loaded as a Keras model, it may be damaged or of another Keras than "
            f"{keras.__version__}: {type(error).__name__}: {error}"
        ) from error


def _load_features(path: Path, network: Path) -> Features:
    from byo_container.handlers.news.preprocessing.features import from_json

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise JobError(f"{path} is missing; {network} was trained with it and is of no use without") from None
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path} cannot be read: {error}") from error
    if _vocabulary_name(_fingerprint(text)) != path.name:
        raise JobError(f"{path} has been changed since it was written with {network}; train again")
    try:
        value: dict[str, Any] = json.loads(text)
        return from_json(value)
    except (KeyError, TypeError, ValueError) as error:
        raise JobError(f"{path} is not a vocabulary of the news handler: {error!r}") from error
