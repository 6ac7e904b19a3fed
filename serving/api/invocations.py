"""POST /invocations: one request from bytes to bytes, as a WSGI application."""

from __future__ import annotations

import os
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from byo_container.container.log import REQUEST_ID, log
from byo_container.serving import headers
from byo_container.serving.api import request_body
from byo_container.serving.errors import ModelRefusalError, RequestError, error_body, phrase
from byo_container.serving.memory_budget import Share, of_worker
from byo_container.serving.metrics import prometheus
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.settings import Settings

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
# Answers a request; the first argument are WSGI's variables, which say which of many models is meant.
Respond = Callable[[dict[str, Any], Request], Reply]


# Behind nginx this header is nginx's own; from anybody else it would be a client's invention.
BEHIND_NGINX = os.environ.get("BYO_SERVE_BIND", "").startswith("unix:")


def waited(environ: dict[str, Any]) -> float:
    """Seconds for which a request has waited until a worker took it."""
    since = environ.get("HTTP_X_REQUEST_START") if BEHIND_NGINX else None
    return max(0.0, time.time() - float(since)) if since else 0.0


class Invocations:
    """Answers with a model's predictions, or with an error in JSON."""

    def __init__(self, respond: Respond, settings: Settings) -> None:
        self._respond = respond
        self._max_payload = settings.max_payload
        self._bodies = of_worker(settings.max_payload).bodies

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        waited_s = waited(environ)
        REQUEST_ID.set(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            reply = self._reply(environ, waited_s)
        except BaseException as error:  # the model's code raises what it likes, SystemExit too; the client waits
            return self._refuse(error, environ, start_response)
        prometheus.count(reply.status)
        prometheus.request_seconds.observe(time.perf_counter() - began + waited_s)
        status = "200 OK" if reply.status == 200 else f"{reply.status} {phrase(reply.status)}"
        if reply.stream:
            # nginx reads the last of these, and passes on each part as it comes.
            start_response(status, [("Content-Type", reply.content_type), *reply.headers, ("X-Accel-Buffering", "no")])
            return reply.stream
        start_response(
            status,
            [("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body))), *reply.headers],
        )
        return [reply.body]

    def _reply(self, environ: dict[str, Any], waited_s: float) -> Reply:
        with Share(self._bodies) as share:
            request = Request(
                request_body.read(environ, self._max_payload, share),
                environ.get("CONTENT_TYPE", ""),
                environ.get("HTTP_ACCEPT", ""),
                partial(headers.look_up, environ),
                waited_s,
                environ,
            )
            reply = self._respond(environ, request)
            if reply.stream:
                share.keep_until(reply.stream.on_close)
            return reply

    def _refuse(self, error: BaseException, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        request_id = environ.get("HTTP_X_REQUEST_ID") or uuid.uuid4().hex
        known = failed(error, request_id)
        prometheus.count(known.status)
        text = error_body(known.status, known.message)
        start_response(
            f"{known.status} {phrase(known.status)}",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(text))),
                ("X-Request-Id", request_id),
                *known.headers,
            ],
        )
        return [text]


def failed(error: BaseException, request_id: str) -> RequestError:
    """What to tell the client: what it did wrong, or only that the model failed, with the traceback in the log."""
    if isinstance(error, RequestError):
        if error.status >= 500 or isinstance(error, ModelRefusalError):
            log.warning("request %s: %d: %s", request_id, error.status, error.message)
        return error
    # The cause first: the line is long, and most of it is not about the model's code.
    cause = traceback.format_exception_only(error.__cause__ or error)[-1].strip()
    log.error("request %s failed: %s", request_id, cause, exc_info=error, extra={"request_id": request_id})
    return RequestError(500, f"the model failed on this request; the log of the server says why ({request_id})")
