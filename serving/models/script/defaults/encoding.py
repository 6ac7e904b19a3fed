"""The default output_fn of all families but Hugging Face's."""

from __future__ import annotations

from typing import Any

from byo_container.serving.codecs import encoding, media_types, negotiation
from byo_container.serving.codecs.media_types import EVENTS
from byo_container.serving.codecs.stream_parts import is_stream


def output_fn(prediction: Any, accept: str, context: Any) -> tuple[Any, str]:
    """The prediction in the media type that the client accepts. The parts of a generator are sent as they are."""
    name = negotiation.answer_type_or_events(accept, media_types.JSON)
    if is_stream(prediction) or name == EVENTS:
        return prediction if is_stream(prediction) else iter([prediction]), EVENTS if name == EVENTS else ""
    return encoding.encode([as_array(prediction)], False, name), name


def as_array(prediction: Any) -> Any:
    """As a list or an array what the toolkits treat as one and our codecs do not: a named tuple, a matrix of
    scipy.sparse."""
    if isinstance(prediction, tuple):
        return list(prediction)
    return prediction.toarray() if hasattr(prediction, "toarray") else prediction
