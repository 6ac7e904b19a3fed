"""Answers that are sent part by part while the model still computes the rest.

A prediction that is an iterator (a generator, say) is such an answer. Each step of it is a task of its own in the
engine, among the work of all other requests: several streams take turns in one thread, and nothing is computed for a
client that is slow to read or has disconnected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from byo_container.serving.codecs import media_types, stream_parts
from byo_container.serving.codecs.media_types import EVENTS
from byo_container.serving.codecs.stream_parts import is_stream, joined
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.work import Task

END = object()


class Stream:
    """The parts of one answer as bytes. Its constructor waits for the first part: an error before it is an error of the
    request, like any other."""

    def __init__(self, parts: Iterator[Any], engine: Engine, events: bool = False) -> None:
        self._parts = parts
        self._engine = engine
        self._events = events
        self._on_close: list[Callable[[], None]] = []
        self._ended = False
        self._encoded_first = b""
        self.first = self._next()

    @property
    def content_type(self) -> str:
        """The media type of the parts, by the first of them."""
        if self._events:
            return EVENTS
        if isinstance(self.first, str):
            return media_types.labelled(media_types.TEXT)
        if isinstance(self.first, bytes | bytearray | memoryview):
            return "application/octet-stream"
        return media_types.JSON_LINES

    def encode_first(self) -> None:
        """Raises TypeError or ValueError, and closes the stream, if the first part cannot be written. Called before the
        head of the answer is sent, so that this too is an error of the request."""
        try:
            if self.first is not END:
                self._encoded_first = self._encode(self.first)
        except BaseException:
            self.close()
            raise

    def values(self) -> Iterator[Any]:
        """The parts as the model yields them."""
        part = self.first
        while part is not END:
            yield part
            part = self._next()

    def __iter__(self) -> Iterator[bytes]:
        for part in self.values():
            encoded, self._encoded_first = self._encoded_first or self._encode(part), b""
            if encoded:  # an empty chunk would be the last one
                yield encoded

    def _encode(self, part: Any) -> bytes:
        return stream_parts.event(part) if self._events else stream_parts.line(part)

    def on_close(self, act: Callable[[], None]) -> None:
        """Calls `act` when the stream is closed."""
        self._on_close.append(act)

    def close(self) -> None:
        """Ends the computation if it has not come to its end. WSGI servers call this whatever happens."""
        try:
            if not self._ended:
                self._ended = True
                with suppress(Exception):  # the client has its answer, or is gone
                    self._engine.submit(Task(self._close_parts))
        finally:
            acts, self._on_close = self._on_close, []
            for act in acts:
                act()

    def _next(self) -> Any:
        try:
            part = self._engine.submit(Task(self._compute_next))
        except BaseException:
            self._ended = True
            raise
        self._ended = part is END
        return part

    def _compute_next(self) -> Any:
        return next(self._parts, END)

    def _close_parts(self) -> None:
        close = getattr(self._parts, "close", None)
        if close:
            close()


def of_outputs(outputs: list[Any], engine: Engine, answer_type: str, many: bool) -> Stream:
    """The outputs of one request as a stream: the parts of its only output, or one part for each of several outputs.
    `many` says that the request's media type holds several records; then a stream among the outputs is one part."""
    events = answer_type == EVENTS
    if len(outputs) == 1 and is_stream(outputs[0]) and (events or not many):
        return Stream(outputs[0], engine, events)
    return Stream((joined(output) if is_stream(output) else output for output in outputs), engine, events)


def answers(function: Callable[[], Any], engine: Engine) -> Iterator[Any]:
    """What a function returns that runs where the model computes: nothing, one value, or the parts of a stream."""
    value = engine.submit(Task(function))
    if not is_stream(value):
        if value is not None:
            yield value
        return
    stream = Stream(value, engine)
    try:
        yield from stream.values()
    finally:
        stream.close()
