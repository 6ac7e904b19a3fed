"""The Flask application: routes and nothing else.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from serving.errors import RequestError, error_body
from serving.invocations import Invocations, failed
from serving.models import ModelServer
from serving.settings import MEGABYTE, Settings

JSON_TYPE = "application/json"
# Under which the application keeps, for its worker, the function that predicts and the engine that computes.
INVOCATIONS, ENGINE = "invocations", "engine"


def create_app(model: ModelServer, settings: Settings) -> Flask:
    """All routes for one worker's model."""
    app = Flask("byo_container")
    app.extensions[ENGINE] = model.engine
    invocations = app.extensions[INVOCATIONS] = Invocations(model, settings)

    @app.route("/ping", methods=["GET", "POST"])
    def ping() -> Response:
        """200 when a model is loaded, 503 before, 500 when it could not be loaded; the body is empty."""
        return Response(status=model.ping())

    @app.get("/execution-parameters")
    def execution_parameters() -> dict[str, Any]:
        """What batch transform should send at once."""
        return batch_parameters(settings)

    @app.post("/invocations")
    def invoke() -> Callable[..., Iterable[bytes]]:
        """One request for predictions. Behind nginx the worker calls the same function by a shorter way."""
        return invocations

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        """404, 405 and the like in the same shape as every other error."""
        status = error.code or 500
        message = f"{error.description} The routes are /ping, /invocations and /execution-parameters."
        headers = [(name, value) for name, value in error.get_headers() if name == "Allow"]
        return Response(error_body(status, message), status, headers, content_type=JSON_TYPE)

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        """A fault of ours."""
        known: RequestError = failed(error, "-")
        return Response(error_body(known.status, known.message), known.status, content_type=JSON_TYPE)

    return app


def batch_parameters(settings: Settings) -> dict[str, Any]:
    """The answer of /execution-parameters: as many requests at once as there are workers, within the platform's
    100 MB for all of them together."""
    megabytes = settings.max_payload // MEGABYTE
    parameters: dict[str, Any] = {
        "MaxConcurrentTransforms": max(1, min(settings.workers * settings.threads, 100 // max(1, megabytes))),
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": min(megabytes, 100),
    }
    if settings.batch_transform == "True":
        # The SDK's local mode spells the strategy otherwise and fails on the platform's own name for it.
        del parameters["BatchStrategy"]
    return parameters
