"""Which dialect a body is in, and an answer in it."""

from __future__ import annotations

from typing import Any, Protocol

from byo_container.serving.codecs import encoding, large_answers, plain_values
from byo_container.serving.codecs.media_types import JSON
from byo_container.serving.dialects import hugging_face, plain, tensorflow_serving
from byo_container.serving.dialects.inputs import Inputs


class Dialect(Protocol):
    """A module of this package."""

    def read(self, body: Any) -> Inputs:
        """The inputs in a decoded body. Raises RequestError 400."""

    def write(self, outputs: list[Any], listed: bool) -> Any:
        """The answer, to be encoded as JSON; `listed` is that of the inputs."""


def of(body: Any) -> Dialect:
    if isinstance(body, dict):
        if tensorflow_serving.KEY in body:
            return tensorflow_serving
        if hugging_face.KEY in body:
            return hugging_face
    return plain


def encode(dialect: Dialect, outputs: list[Any], listed: bool, media_type: str) -> bytes:
    """The body of an answer. Other media types than JSON have no dialects."""
    if media_type == JSON:
        return plain_values.dumps(dialect.write(outputs, listed))
    return encoding.encode(outputs, listed, media_type)


def encode_large(dialect: Dialect, outputs: list[Any], listed: bool, media_type: str) -> bytes:
    """The same for a thread beside the event loop, which gets its turn in between."""
    if media_type == JSON:
        return large_answers.dumps(dialect.write(outputs, listed))
    return encoding.encode_large(outputs, listed, media_type)
