"""The Flask application: routes and nothing else.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from byo_container.serving.api import openapi
from byo_container.serving.api.invocations import Invocations, failed
from byo_container.serving.api.multi_model import OpaqueName, invocation_of, models_api
from byo_container.serving.api.test_page import page_api
from byo_container.serving.errors import RequestError, error_body
from byo_container.serving.metrics import exposition
from byo_container.serving.models import execution_parameters as batch_transform
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.multi_model.server import MultiModelServer
from byo_container.serving.settings import Settings

JSON_TYPE = "application/json"
# Under which the application keeps, for its worker, the function that predicts and the engine that computes.
INVOCATIONS, ENGINE = "invocations", "engine"
# What answers a WebSocket's messages, and how large they may be.
CONVERSE, LIMIT = "converse", "limit"
# Whether the server is one of many models.
MANY = "many"


def create_app(model: ModelServer | MultiModelServer, settings: Settings) -> Flask:
    """All routes for one worker's model, or for the many that it holds."""
    app = Flask("byo_container")
    app.url_map.merge_slashes = False  # a model's name may hold any
    app.url_map.converters["opaque"] = OpaqueName
    app.extensions[ENGINE] = model.engine
    app.extensions[LIMIT] = settings.max_payload
    many = app.extensions[MANY] = isinstance(model, MultiModelServer)
    if settings.page:
        app.register_blueprint(page_api(lambda: model.description, settings, many))
    if isinstance(model, MultiModelServer):
        respond = invocation_of(model)
        app.register_blueprint(models_api(model))
    else:
        respond = lambda _, request: model.respond(request)  # noqa: E731
        app.extensions[CONVERSE] = model.converse
    invocations = app.extensions[INVOCATIONS] = Invocations(respond, settings)

    @app.route("/ping", methods=["GET", "POST"])
    def ping() -> Response:
        """200 when a model is loaded, 503 before, 500 when it could not be loaded; the body is empty."""
        return Response(status=model.ping())

    @app.get("/metrics")
    def measured() -> Response:
        """What all workers have counted and measured, for Prometheus."""
        return Response(exposition.render(), content_type=exposition.CONTENT_TYPE)

    @app.get("/execution-parameters")
    def execution_parameters() -> dict[str, Any]:
        """What batch transform should send at once."""
        return batch_transform.parameters(settings, model.execution_parameters)

    @app.get("/openapi.json")
    def described() -> dict[str, Any]:
        """What this server is asked at, and what it answers."""
        return openapi.document(many)

    @app.post("/models/<opaque:name>/invoke" if many else "/invocations")
    def invoke(name: str = "") -> Callable[..., Iterable[bytes]]:
        """One request for predictions. Behind nginx the worker calls the same function by a shorter way."""
        return invocations

    routes = "/ping, /models and /models/NAME/invoke" if many else "/ping, /invocations and /execution-parameters"

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        """404, 405 and the like in the same shape as every other error."""
        status = error.code or 500
        message = f"{error.description} The routes are {routes}."
        headers = [(name, value) for name, value in error.get_headers() if name == "Allow"]
        return Response(error_body(status, message), status, headers, content_type=JSON_TYPE)

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        """A fault of ours."""
        known: RequestError = failed(error, "-")
        return Response(error_body(known.status, known.message), known.status, content_type=JSON_TYPE)

    return app
