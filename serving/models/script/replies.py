"""The reply for what a function of a user's inference.py returned or raised.

As in the toolkits: text, bytes, or any value that JSON can hold; that and its media type in a tuple; a Response of
Flask, Werkzeug or sagemaker_containers. Sources: https://github.com/awslabs/multi-model-server/blob/master/mms/protocol/otf_message_handler.py,
https://github.com/aws/sagemaker-containers/blob/master/src/sagemaker_containers/_worker.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from byo_container.container.handler import InputError
from byo_container.serving import headers
from byo_container.serving.codecs import media_types
from byo_container.serving.codecs.media_types import EVENTS
from byo_container.serving.codecs.stream_parts import is_stream
from byo_container.serving.errors import ModelRefusalError
from byo_container.serving.models.script.context import CONTENT_TYPE, RequestProcessor
from byo_container.serving.models.servable import Reply

# The packages whose exceptions have a status and a message for the client. Another exception with a status may be that
# of another service, which does not concern the client.
TOOLKITS = frozenset(
    {"mms", "sagemaker_containers", "sagemaker_huggingface_inference_toolkit", "sagemaker_inference", "ts"}
)
WITHOUT_BODY = (204, 304)
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Parts:
    """An answer that is yielded part by part. Without a media type it gets the type of its first part."""

    parts: Iterator[Any]
    content_type: str
    status: int = 200
    headers: Headers = ()

    def __post_init__(self) -> None:
        """Raises ValueError as Reply does, before the first part is computed."""
        if self.content_type:
            headers.check_media_type(self.content_type)
        headers.check(self.headers)


def answer(returned: Any, accept: str, processor: RequestProcessor, function: str) -> Reply | Parts:
    """The reply for what `function` returned, in the media type `accept` unless the function chose another. Raises
    TypeError for a value that cannot be sent, ValueError for such a status or header."""
    if type(returned) is str and processor.is_plain:  # nearly always
        return Reply(returned.encode(), accept)
    if callable(getattr(returned, "get_data", None)):
        return _of_response(returned, accept, processor, function)
    body, media = returned, ""
    if isinstance(returned, tuple):
        if len(returned) < 2:
            raise TypeError(f"{function} returned a tuple of {len(returned)}; it must be (body, media type)")
        body, media = returned[0], returned[1] or ""  # more elements are ignored, as in the toolkits
        if not isinstance(media, str):
            raise TypeError(f"{function} returned {media!r} as the media type; it must be a text like application/json")
    return _answer(body, media, accept, processor, function)


def _answer(
    body: Any, media: str, accept: str, processor: RequestProcessor, function: str, more: Headers = ()
) -> Reply | Parts:
    own, reply_headers = (media, more) if processor.is_plain else _set_by_context(processor, media, more)
    status = checked_status(processor.status, function)
    if is_stream(body):
        return Parts(body, own or (EVENTS if accept == EVENTS else ""), status, reply_headers)
    data = b"" if status in WITHOUT_BODY else as_bytes(body, function)
    return Reply(data, own or accept, status, reply_headers)


def _set_by_context(processor: RequestProcessor, media: str, more: Headers) -> tuple[str, Headers]:
    """The media type and the headers of an answer: those that were set on the context, then those returned."""
    given = processor.get_response_headers().items()
    media = next((str(value) for key, value in given if str(key).lower() == CONTENT_TYPE and value), media)
    return media, (*((str(key), str(value)) for key, value in given if str(key).lower() != CONTENT_TYPE), *more)


def _of_response(response: Any, accept: str, processor: RequestProcessor, function: str) -> Reply | Parts:
    """A Response of Flask, Werkzeug or sagemaker_containers: its body, type, status and headers, without the headers
    that the server writes itself."""
    body = response.iter_encoded() if getattr(response, "is_streamed", False) else response.get_data()
    media = getattr(response, "content_type", None) or getattr(response, "mimetype", None) or ""
    if processor.status == 200:
        processor.report_status(getattr(response, "status_code", 200))
    given = getattr(response, "headers", {}).items()
    more = tuple((key, value) for key, value in given if key.lower() not in headers.SERVERS_OWN)
    return _answer(iter(body) if not isinstance(body, str | bytes) else body, media, accept, processor, function, more)


def as_bytes(body: Any, function: str) -> bytes:
    """Text and bytes as they are, any other value as JSON. Raises TypeError for a value that JSON cannot hold."""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    try:
        return json.dumps(body, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"{function} returned {_kind(body)}, which cannot be sent ({error}); it must return text, bytes, a value "
            "that JSON can hold, a Response of Flask, or one of these and its media type: (body, type)"
        ) from None


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays, and tensors, which JSON does not know."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if not hasattr(value, "tolist"):
        raise TypeError(f"{_kind(value)} is no JSON")
    return value.tolist()


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def checked_status(status: Any, function: str) -> int:
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status < 600:
        raise ValueError(f"{function} set the status {status!r}; it must be a number from 200 to 599")
    return int(status)


def refused(error: BaseException) -> Reply | BaseException:
    """The reply or the refusal for an exception that is meant for the client (InputError, the toolkits' own errors,
    abort() of Flask); any other exception as it is."""
    if isinstance(error, InputError):
        return ModelRefusalError(400, str(error))
    roots = {kind.__module__.partition(".")[0]: kind for kind in type(error).__mro__}
    if "werkzeug" in roots and hasattr(error, "get_response"):
        status, message = getattr(error, "code", None), getattr(error, "description", None)
    elif TOOLKITS & roots.keys():
        status = getattr(error, "status_code", None) or getattr(error, "error_code", None)
        message = getattr(error, "message", None)
    else:
        return error
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status < 600:
        return error
    if status < 400:
        return Reply(
            b"" if status in WITHOUT_BODY else str(message).encode(),
            media_types.labelled(media_types.TEXT),
            int(status),
        )
    return ModelRefusalError(int(status), str(message or error))
