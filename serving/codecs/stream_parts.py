"""The parts of a streamed answer, as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from byo_container.serving.codecs.plain_values import dumps


def is_stream(value: Any) -> bool:
    """Whether a prediction is an iterator, whose parts are sent as they come."""
    return hasattr(value, "__next__")


def joined(stream: Iterator[Any]) -> Any:
    """All parts of a stream as one value: texts joined, others as a list. For compute threads."""
    parts = list(stream)
    if parts and all(isinstance(part, str) for part in parts):
        return "".join(parts)
    return parts


def line(part: Any) -> bytes:
    """Texts and bytes as they are; any other value as a line of JSON."""
    if isinstance(part, str):
        return part.encode(errors="replace")  # half a surrogate pair must not end the answer
    return bytes(part) if isinstance(part, bytes | bytearray | memoryview) else dumps(part) + b"\n"


def event(part: Any) -> bytes:
    """A server-sent event. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html"""
    if isinstance(part, bytes | bytearray | memoryview):
        part = bytes(part).decode(errors="replace")
    text = part if isinstance(part, str) else dumps(part).decode()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {text}\n" for text in lines).encode(errors="replace") + b"\n"
