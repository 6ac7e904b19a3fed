"""POST /invocations, or POST /models/NAME/invoke: one request from bytes to bytes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any
from wsgiref.types import StartResponse

from byo_container.container.log import REQUEST_ID
from byo_container.serving import headers
from byo_container.serving.api import request_body
from byo_container.serving.api.multi_model import InvokedModels
from byo_container.serving.errors import error_body, known_error, status_line
from byo_container.serving.memory_budget import Share, of_worker
from byo_container.serving.metrics import prometheus
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.models.servable import Reply, Request


def waited_s(environ: dict[str, Any]) -> float:
    """Seconds for which a request has waited until a worker took it. The header is nginx's own: a client's is replaced
    there, or removed by workers.direct_clients."""
    arrived = environ.get("HTTP_X_REQUEST_START")
    return max(0.0, time.time() - float(arrived)) if arrived else 0.0


class Invocations:
    """Answers requests with a model's predictions, or with an error in JSON."""

    def __init__(self, model: ModelServer | InvokedModels, max_payload: int) -> None:
        self._model = model
        self._max_payload = max_payload
        self._bodies = of_worker(max_payload).bodies

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """As a WSGI application."""
        reply = self.answer(environ, waited_s(environ))
        start_response(status_line(reply.status), head(reply))
        return reply.stream or [reply.body]

    def answer(self, environ: dict[str, Any], waited_s: float) -> Reply:
        """The reply to a request, also to one that fails. Behind nginx the worker calls this without WSGI."""
        began = time.perf_counter()
        REQUEST_ID.set(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            reply = self._predict(environ, waited_s)
        except BaseException as error:  # the model's code raises anything, SystemExit too, and the client waits
            reply = error_reply(error, environ.get("HTTP_X_REQUEST_ID") or uuid.uuid4().hex)
            prometheus.count(reply.status)
            return reply
        prometheus.count(reply.status)
        prometheus.request_seconds.observe(time.perf_counter() - began + waited_s)
        return reply

    def _predict(self, environ: dict[str, Any], waited_s: float) -> Reply:
        with Share(self._bodies) as share:
            request = Request(
                request_body.read(environ, self._max_payload, share),
                environ.get("CONTENT_TYPE", ""),
                environ.get("HTTP_ACCEPT", ""),
                partial(headers.look_up, environ),
                waited_s,
                environ,
            )
            reply = self._model.respond(request)
            if reply.stream:
                share.keep_until(reply.stream.on_close)
            return reply


def head(reply: Reply) -> list[tuple[str, str]]:
    """All headers of a reply, except for those about the connection."""
    if reply.stream:
        # nginx reads the last of these, and passes on each part as it comes.
        return [("Content-Type", reply.content_type), *reply.headers, ("X-Accel-Buffering", "no")]
    return [("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body))), *reply.headers]


def error_reply(error: BaseException, request_id: str) -> Reply:
    known = known_error(error, request_id)
    body = error_body(known.status, known.message)
    return Reply(body, "application/json", known.status, (("X-Request-Id", request_id), *known.headers))
