"""The parts of a streamed answer as bytes, and the media type of server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from byo_container.serving.codecs import media_types
from byo_container.serving.errors import RequestError

EVENTS = "text/event-stream"


def is_stream(value: Any) -> bool:
    """Whether a prediction is an iterator, whose parts are sent as they come."""
    return hasattr(value, "__next__")


def joined(stream: Iterator[Any]) -> Any:
    """All parts of a stream as one value: texts joined, others as a list. For compute threads."""
    parts = list(stream)
    if parts and all(isinstance(part, str) for part in parts):
        return "".join(parts)
    return parts


def accepted(accept: str, default: str) -> str:
    """The media type to answer in: EVENTS where the client accepts nothing else. Raises RequestError 406."""
    try:
        return media_types.accepted(accept, default)
    except RequestError:
        if not media_types.accepts(accept, EVENTS):
            raise
        return EVENTS


def line(part: Any) -> bytes:
    """Texts and bytes as they are; any other value as a line of JSON."""
    if isinstance(part, str):
        return part.encode(errors="replace")  # half a surrogate pair must not end the answer
    return bytes(part) if isinstance(part, bytes | bytearray | memoryview) else media_types.dumps(part) + b"\n"


def event(part: Any) -> bytes:
    """A server-sent event. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html"""
    if isinstance(part, bytes | bytearray | memoryview):
        part = bytes(part).decode(errors="replace")
    text = part if isinstance(part, str) else media_types.dumps(part).decode()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {text}\n" for text in lines).encode(errors="replace") + b"\n"
