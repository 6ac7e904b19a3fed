"""POST /invocations: one request from bytes to bytes, as a WSGI application."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.http.errors import ParseException

from container.log import log
from serving.errors import RequestError, error_body, phrase
from serving.models import ModelServer, Request
from serving.settings import MEGABYTE, Settings

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Invocations:
    """Answers with the model's predictions, or with an error in JSON."""

    def __init__(self, model: ModelServer, settings: Settings) -> None:
        self._model = model
        self._max_payload = settings.max_payload

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            request = Request(
                self._body(environ),
                environ.get("CONTENT_TYPE", ""),
                environ.get("HTTP_ACCEPT", ""),
                lambda name: environ.get("HTTP_" + name.upper().replace("-", "_"), ""),
            )
            reply = self._model.respond(request)
        except Exception as error:
            return self._refuse(error, environ, start_response)
        start_response(
            "200 OK" if reply.status == 200 else f"{reply.status} {phrase(reply.status)}",
            [("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body)))],
        )
        return [reply.body]

    def _body(self, environ: dict[str, Any]) -> bytes:
        """The whole body. Raises RequestError: 411 without a length, 413 above the limit, 400 when cut off."""
        length = environ.get("CONTENT_LENGTH")
        if length is None and "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            raise RequestError(411, "send Content-Length, or a chunked body")
        expected = self._max_payload + 1 if length is None else int(length)
        if length is not None and expected > self._max_payload:
            raise self._too_large()
        try:
            body: bytes = environ["wsgi.input"].read(expected)
        except (OSError, ParseException) as error:  # without nginx it is gunicorn that finds a broken chunk
            raise RequestError(400, f"the body cannot be read: {error}") from None
        if length is not None and len(body) < expected:
            raise RequestError(400, f"the body ends after {len(body)} of {length} bytes")
        if len(body) > self._max_payload:
            raise self._too_large()
        return body

    def _too_large(self) -> RequestError:
        limit = self._max_payload // MEGABYTE
        return RequestError(413, f"the body is above the limit of {limit} MB; send less at once")

    def _refuse(self, error: Exception, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        request_id = environ.get("HTTP_X_REQUEST_ID") or uuid.uuid4().hex
        known = failed(error, request_id)
        body = error_body(known.status, known.message)
        start_response(
            f"{known.status} {phrase(known.status)}",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("X-Request-Id", request_id),
                *known.headers,
            ],
        )
        return [body]


def failed(error: Exception, request_id: str) -> RequestError:
    """What to tell the client: what it did wrong, or only that the model failed, with the traceback in the log."""
    if isinstance(error, RequestError):
        if error.status >= 500:
            log.warning("request %s: %d: %s", request_id, error.status, error.message)
        return error
    log.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
    return RequestError(500, f"the model failed on this request; the log of the server says why ({request_id})")
