"""The body of a request: whole, decompressed, and within the limit."""

from __future__ import annotations

import zlib
from typing import Any

from byo_container.serving.engine.thread_pool import run_in_thread
from byo_container.serving.errors import RequestError
from byo_container.serving.memory_budget import LARGE_BODY, Share
from byo_container.serving.settings import MEGABYTE

GZIP = 16 + zlib.MAX_WBITS
# The most bytes that one compressed byte can become: a limit of the deflate format.
GZIP_RATIO = 1032


def read(environ: dict[str, Any], limit: int, share: Share | None = None) -> bytes:
    """Reads the body of a request from WSGI's `environ`; `share` takes the memory that a large one needs.

    Raises RequestError: 411 without a length, 413 above `limit` bytes, 400 for a body that is cut off or broken, 408
    for one that comes too slowly, 415 for a coding other than gzip, 503 while other large bodies fill the memory."""
    length = environ.get("CONTENT_LENGTH")
    if length is None and "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise RequestError(411, "send Content-Length, or a chunked body")
    expected = limit + 1 if length is None else int(length)
    if length is not None and expected > limit:
        raise too_large(limit)
    coding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    plain = coding in ("", "identity")
    stream = environ["wsgi.input"]
    try:
        start: bytes = stream.read(LARGE_BODY) if length is None else b""
        if length is None and len(start) < LARGE_BODY:
            expected = len(start)  # that was all of it
        if share:
            share.take(expected if plain else expected + min(limit, GZIP_RATIO * expected))
        body: bytes = start + stream.read(expected - len(start))
    except RequestError:
        raise
    except TimeoutError:  # a client that is slow
        raise RequestError(408, "the request took too long to arrive") from None
    except Exception as error:  # of the connection, or without nginx the WSGI server's own for a broken chunk
        raise RequestError(400, f"the body cannot be read: {error}") from None
    if length is not None and len(body) < expected:
        raise RequestError(400, f"the body ends after {len(body)} of {length} bytes")
    if len(body) > limit:
        raise too_large(limit)
    if not plain:
        body = _decompressed(body, coding, limit)
    if share:
        share.keep(len(body))
    return body


def _decompressed(body: bytes, coding: str, limit: int) -> bytes:
    if coding not in ("gzip", "x-gzip"):
        raise RequestError(415, f"cannot read the Content-Encoding {coding!r}; send gzip, or the body as it is")
    inflate = zlib.decompressobj(GZIP)
    try:
        plain = run_in_thread(inflate.decompress, body, limit + 1)  # never more than one byte beyond the limit
    except zlib.error as error:
        raise RequestError(400, f"the body is not gzip: {error}") from None
    if len(plain) > limit:
        raise too_large(limit)
    if not inflate.eof or inflate.unused_data:
        raise RequestError(400, "the body is not one whole gzip stream")
    return plain


def too_large(limit: int) -> RequestError:
    size = f"{limit // MEGABYTE} MB" if limit >= MEGABYTE else f"{limit // 1024} KB"
    return RequestError(413, f"the body is above the limit of {size}; send less at once")
