"""The body of a request, whole and no larger than it may be, also where the client has compressed it."""

from __future__ import annotations

import zlib
from typing import Any

import gevent
from gunicorn.http.errors import ParseException

from serving.errors import RequestError
from serving.settings import MEGABYTE

GZIP = 16 + zlib.MAX_WBITS


def read(environ: dict[str, Any], limit: int) -> bytes:
    """The body that WSGI's variables hold. Raises RequestError: 411 without a length, 413 above `limit` bytes, 400
    where it is cut off or broken, 415 for a coding other than gzip."""
    length = environ.get("CONTENT_LENGTH")
    if length is None and "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise RequestError(411, "send Content-Length, or a chunked body")
    expected = limit + 1 if length is None else int(length)
    if length is not None and expected > limit:
        raise too_large(limit)
    try:
        body: bytes = environ["wsgi.input"].read(expected)
    except TimeoutError:  # so is a client that is slow
        raise RequestError(408, "the request took too long to arrive") from None
    except (OSError, ParseException) as error:  # without nginx it is gunicorn that finds a broken chunk
        raise RequestError(400, f"the body cannot be read: {error}") from None
    if length is not None and len(body) < expected:
        raise RequestError(400, f"the body ends after {len(body)} of {length} bytes")
    if len(body) > limit:
        raise too_large(limit)
    coding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    return body if coding in ("", "identity") else _decompressed(body, coding, limit)


def _decompressed(body: bytes, coding: str, limit: int) -> bytes:
    if coding not in ("gzip", "x-gzip"):
        raise RequestError(415, f"cannot read the Content-Encoding {coding!r}; send gzip, or the body as it is")
    inflate = zlib.decompressobj(GZIP)
    try:
        # Beside the event loop. Never more than one byte beyond the limit, whatever it would become.
        plain: bytes = gevent.get_hub().threadpool.apply(inflate.decompress, (body, limit + 1))
    except zlib.error as error:
        raise RequestError(400, f"the body is not gzip: {error}") from None
    if len(plain) > limit:
        raise too_large(limit)
    if not inflate.eof or inflate.unused_data:
        raise RequestError(400, "the body is not one whole gzip stream")
    return plain


def too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is above the limit of {limit // MEGABYTE} MB; send less at once")
