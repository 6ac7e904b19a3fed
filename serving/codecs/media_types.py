"""The media types that the server knows, and the parser of Content-Type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from byo_container.serving.errors import RequestError

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
TEXT = "text/plain"
NPY = "application/x-npy"
EVENTS = "text/event-stream"
ALIASES = {
    "application/x-jsonlines": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/csv": CSV,
    "text/json": JSON,
}


@dataclass(frozen=True)
class MediaType:
    """`text/csv; charset=utf-8` taken apart: name and charset in lower case."""

    name: str
    charset: str = "utf-8"


@lru_cache(maxsize=256)
def content_type(header: str) -> MediaType:
    """The media type of a request body; JSON where the client names none. Raises RequestError 415."""
    if not header:
        return MediaType(JSON)
    name, *parameters = (part.strip() for part in header.split(";"))
    name = ALIASES.get(name.lower(), name.lower())
    charset = "utf-8"
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return MediaType(name, charset)


def labelled(name: str) -> str:
    """The Content-Type of an answer. A text names its charset: without, clients take it for Latin-1. CSV does not: the
    platform's data capture looks for `text/csv` to the letter."""
    return f"{name}; charset=utf-8" if name == TEXT else name


def import_numpy(status: int) -> Any:
    try:
        import numpy
    except ImportError:
        raise RequestError(status, f"{NPY} needs NumPy, which this image does not have") from None
    return numpy
