"""The inputs in a body of any dialect, and an answer in the same one."""

from __future__ import annotations

from typing import Any

from byo_container.serving.codecs import encoding, large_answers, plain_values
from byo_container.serving.codecs.media_types import JSON
from byo_container.serving.dialects import hugging_face, plain, tensorflow_serving
from byo_container.serving.dialects.inputs import Inputs


def read(body: Any) -> Inputs:
    """The inputs in a decoded body. Raises RequestError 400."""
    if isinstance(body, dict):
        if tensorflow_serving.KEY in body:
            return tensorflow_serving.read(body)
        if hugging_face.KEY in body:
            return hugging_face.read(body)
    return plain.read(body)


def encode(inputs: Inputs, outputs: list[Any], media_type: str) -> bytes:
    """The body of an answer. Other media types than JSON have no dialects."""
    if media_type == JSON:
        return plain_values.dumps(inputs.write(outputs, inputs.listed))
    return encoding.encode(outputs, inputs.listed, media_type)


def encode_large(inputs: Inputs, outputs: list[Any], media_type: str) -> bytes:
    """The same for a thread beside the event loop, which gets its turn in between."""
    if media_type == JSON:
        return large_answers.dumps(inputs.write(outputs, inputs.listed))
    return encoding.encode_large(outputs, inputs.listed, media_type)
