"""Answers that are sent part by part, while the model still computes the rest.

A prediction that is an iterator (a generator, say) is such an answer. Each step of it is an item for the engine, among
those of all other requests: several streams take turns in one thread, and who is slow to read, or gone, has nothing
computed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

from byo_container.container.handler import InputError
from byo_container.serving.codecs import media_types
from byo_container.serving.errors import RequestError

EVENTS = "text/event-stream"
END = object()
Around = Callable[[], AbstractContextManager[Any]]


class Step:
    """Something to be done where the model computes, such as a step of an iterator: an item for the engine."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act
        self._around: list[Around] = []

    def within(self, around: Around) -> None:
        """The model's surroundings, such as PyTorch's inference mode."""
        self._around.append(around)

    def run(self) -> Any:
        with ExitStack() as stack:
            for around in self._around:
                stack.enter_context(around())
            return self._act()


def compute_with_steps(compute: Callable[[list[Any]], list[Any]], items: list[Any]) -> list[Any]:
    """The outcomes of items, in order; a step is always alone."""
    return [_outcome(items[0])] if isinstance(items[0], Step) else compute(items)


def _outcome(step: Step) -> Any:
    try:
        return step.run()
    except InputError as error:
        return RequestError(400, str(error))
    except BaseException as error:
        return error


def stepping(submit: Callable[..., Any], around: Around) -> Callable[..., Any]:
    """`submit` for a model whose steps run within its surroundings."""

    def submit_within(item: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(item, Step):
            item.within(around)
        return submit(item, *arguments, **options)

    return submit_within


def accepted(accept: str, default: str) -> str:
    """The media type to answer in, EVENTS where a client takes nothing else. Raises RequestError 406."""
    try:
        return media_types.accepted(accept, default)
    except RequestError:
        if not media_types.accepts(accept, EVENTS):
            raise
        return EVENTS


def is_stream(value: Any) -> bool:
    return hasattr(value, "__next__")


class Stream:
    """The parts of one answer as bytes. Made in the event loop, which waits for the first part: an error before it is
    one of the request, like any other."""

    def __init__(self, parts: Iterator[Any], submit: Callable[[Any], Any], events: bool = False) -> None:
        self._parts = parts
        self._submit = submit
        self._events = events
        self._on_close: list[Callable[[], None]] = []
        self._ended = False
        self.first = self._step()

    @property
    def content_type(self) -> str:
        """What the parts are, by the first of them."""
        if self._events:
            return EVENTS
        if isinstance(self.first, str):
            return media_types.labelled(media_types.TEXT)
        return "application/octet-stream" if isinstance(self.first, bytes) else media_types.JSON_LINES

    def values(self) -> Iterator[Any]:
        """The parts as they came from the model."""
        part = self.first
        while part is not END:
            yield part
            part = self._step()

    def __iter__(self) -> Iterator[bytes]:
        encode = event if self._events else line
        return filter(None, map(encode, self.values()))  # an empty chunk would be the last one

    def on_close(self, act: Callable[[], None]) -> None:
        self._on_close.append(act)

    def close(self) -> None:
        """Ends the computation, where it has not come to its end. For WSGI servers, which call it whatever happens."""
        try:
            if not self._ended:
                self._ended = True
                with suppress(Exception):  # nobody is left who could be told
                    self._submit(Step(getattr(self._parts, "close", lambda: None)))
        finally:
            acts, self._on_close = self._on_close, []
            for act in acts:
                act()

    def _step(self) -> Any:
        try:
            part = self._submit(Step(lambda: next(self._parts, END)))
        except BaseException:
            self._ended = True
            raise
        self._ended = part is END
        return part


def of_outputs(outputs: list[Any], submit: Callable[..., Any], answer_type: str, many: bool) -> Stream:
    """The outputs of one request as a stream: the parts of the only one, or each of several, streams made whole. So is
    the only one of a request that could have held `many`, and is answered by the record."""
    events = answer_type == EVENTS
    if len(outputs) == 1 and is_stream(outputs[0]) and (events or not many):
        return Stream(outputs[0], submit, events)
    return Stream((whole(output) if is_stream(output) else output for output in outputs), submit, events)


def values_of(step: Step, submit: Callable[..., Any]) -> Iterator[Any]:
    """What a step returns: nothing, one value, or the parts of a stream."""
    value = submit(step)
    if not is_stream(value):
        if value is not None:
            yield value
        return
    stream = Stream(value, submit)
    try:
        yield from stream.values()
    finally:
        stream.close()


def line(part: Any) -> bytes:
    """Texts and bytes as they are; any other value as a line of JSON."""
    if isinstance(part, str):
        return part.encode(errors="replace")  # half a surrogate pair: the answer would break off
    return bytes(part) if isinstance(part, bytes | bytearray | memoryview) else media_types.dumps(part) + b"\n"


def event(part: Any) -> bytes:
    """A server-sent event. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html"""
    if isinstance(part, bytes | bytearray | memoryview):
        part = bytes(part).decode(errors="replace")
    text = part if isinstance(part, str) else media_types.dumps(part).decode()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {text}\n" for text in lines).encode(errors="replace") + b"\n"


def whole(stream: Iterator[Any]) -> Any:
    """All parts as one value, for an answer that holds several: texts joined, others a list. In compute threads."""
    parts = list(stream)
    if parts and all(isinstance(part, str) for part in parts):
        return "".join(parts)
    return parts
