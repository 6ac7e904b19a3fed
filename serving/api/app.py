"""The application of one worker, and its routes.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

from byo_container.serving.api import openapi
from byo_container.serving.api.invocations import Invocations
from byo_container.serving.api.multi_model import InvokedModels, OpaqueName, models_api
from byo_container.serving.api.test_page import page_api
from byo_container.serving.codecs.media_types import JSON
from byo_container.serving.errors import error_body, known_error
from byo_container.serving.metrics import exposition
from byo_container.serving.models import execution_parameters as batch_transform
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.multi_model.server import MultiModelServer
from byo_container.serving.settings import Settings


@dataclass(frozen=True)
class Application:
    """What one worker serves: a WSGI application, and the parts of it that the worker calls without WSGI."""

    model: ModelServer | MultiModelServer
    invocations: Invocations
    flask: Flask
    max_payload: int

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return self.flask(environ, start_response)

    @property
    def conversations(self) -> ModelServer | None:
        """The model that answers a WebSocket's messages. None in multi-model mode: no contract says which of the models
        a conversation would mean."""
        return None if isinstance(self.model, MultiModelServer) else self.model

    def is_invocation(self, uri: str) -> bool:
        """Whether POST to this address asks for predictions."""
        if isinstance(self.model, MultiModelServer):
            return uri.startswith("/models/") and uri.endswith("/invoke")
        return uri == "/invocations"


def create_app(model: ModelServer | MultiModelServer, settings: Settings) -> Application:
    """All routes for one worker's model, or for the many that it holds."""
    multi_model = isinstance(model, MultiModelServer)
    invocations = Invocations(
        InvokedModels(model) if isinstance(model, MultiModelServer) else model, settings.max_payload
    )
    flask = Flask("byo_container")
    flask.url_map.merge_slashes = False  # a model's name may contain any
    flask.url_map.converters["opaque"] = OpaqueName
    flask.register_blueprint(common_api(model, settings))
    if settings.page:
        flask.register_blueprint(page_api(model, settings, multi_model))
    if isinstance(model, MultiModelServer):
        flask.register_blueprint(models_api(model))

    @flask.post("/models/<opaque:name>/invoke" if multi_model else "/invocations")
    def invoke(name: str = "") -> Callable[..., Iterable[bytes]]:
        """One request for predictions."""
        return invocations

    @flask.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        """404, 405 and the like in the same shape as every other error."""
        many, one = "/ping, /models and /models/NAME/invoke", "/ping, /invocations and /execution-parameters"
        status = error.code or 500
        message = f"{error.description} The routes are {many if multi_model else one}."
        headers = [(name, value) for name, value in error.get_headers() if name == "Allow"]
        return Response(error_body(status, message), status, headers, content_type=JSON)

    flask.register_error_handler(Exception, server_error)
    return Application(model, invocations, flask, settings.max_payload)


def common_api(model: ModelServer | MultiModelServer, settings: Settings) -> Blueprint:
    """The routes of every server: /ping, /metrics, /execution-parameters and /openapi.json."""
    api = Blueprint("common", __name__)

    @api.route("/ping", methods=["GET", "POST"])
    def ping() -> Response:
        """200 when a model is loaded, 503 before, 500 when it could not be loaded; the body is empty."""
        return Response(status=model.ping())

    @api.get("/metrics")
    def metrics() -> Response:
        """What all workers have counted and measured, for Prometheus."""
        return Response(exposition.render(), content_type=exposition.CONTENT_TYPE)

    @api.get("/execution-parameters")
    def execution_parameters() -> dict[str, Any]:
        """What batch transform should send at once."""
        return batch_transform.parameters(settings, model.execution_parameters)

    @api.get("/openapi.json")
    def description() -> dict[str, Any]:
        """The routes of this server, with what they take and answer."""
        return openapi.document(isinstance(model, MultiModelServer))

    return api


def server_error(error: Exception) -> Response:
    """An error that a route raised: the client's mistake, or a fault of ours."""
    known = known_error(error, "-")
    return Response(error_body(known.status, known.message), known.status, content_type=JSON)
