"""The routes of an endpoint that serves many models: /models and what lies below.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import orjson
from flask import Blueprint, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter

from byo_container.serving import headers
from byo_container.serving.api.invocations import Respond
from byo_container.serving.api.request_body import read
from byo_container.serving.errors import RequestError
from byo_container.serving.memory_budget import LARGE_BODY
from byo_container.serving.models.servable import Reply, Request
from byo_container.serving.multi_model import registry
from byo_container.serving.multi_model.server import MultiModelServer


class OpaqueName(BaseConverter):
    """Any characters at all, for Flask's routes."""

    regex = r"[\s\S]+"
    part_isolating = False


BELOW, INVOKE = "/models/", "/invoke"
# Of a name as it stands in an address: nginx takes 8 KB for the first line of a request.
LONGEST_NAME = 8000


def models_api(many: MultiModelServer) -> Blueprint:
    """Loading, listing, describing and removing models. What invokes them is the application's own."""
    api = Blueprint("models", __name__)

    @api.get("/models")
    def page() -> dict[str, Any]:
        """The models in the order of their names, with the token of the next page where there is one."""
        token = request.args.get("next_page_token", "")
        entries, following = many.page(token, page_size(request.args.get("limit", "")))
        models = {"models": [entry.as_json() for entry in entries]}
        return models | ({"nextPageToken": following} if following else {})

    @api.post("/models")
    def load() -> dict[str, Any]:
        """Loads a model; it is there for all workers before the answer."""
        if headers.from_elsewhere(request.headers.get):
            raise RequestError(403, "a page of another origin may not load models")
        name, url = asked_for(read(request.environ, LARGE_BODY))
        many.load(name, url)
        return {"status": f"the model {name!r} is loaded"}

    @api.before_app_request
    def only_post_invokes() -> None:
        """Else a model that is called `a/invoke`, which is %2F in an address, would be taken for the method of `a`."""
        if request.method != "POST" and name_in(request.environ, INVOKE):
            raise MethodNotAllowed(["POST"])

    @api.get("/models/<opaque:name>")
    def describe(name: str) -> dict[str, Any]:
        """A model's name and the place that it was loaded from."""
        return many.describe(name_in(request.environ)).as_json()

    @api.delete("/models/<opaque:name>")
    def unload(name: str) -> dict[str, Any]:
        """Removes a model; its memory is free before the answer."""
        name = name_in(request.environ)
        many.unload(name)
        return {"status": f"the model {name!r} is removed"}

    return api


def invocation_of(many: MultiModelServer) -> Respond:
    """What answers POST /models/N/invoke."""

    def respond(environ: dict[str, Any], request: Request) -> Reply:
        name = name_in(environ, INVOKE)
        if not name:
            raise RequestError(404, "this server holds many models: POST /models/NAME/invoke")
        return many.respond(name, request)

    return respond


def name_in(environ: dict[str, Any], suffix: str = "") -> str:
    """The model's name in an address such as /models/a%2Fb/invoke, decoded once; empty where there is none. By the
    address as the client wrote it: a slash in a name is told from one around it."""
    path = str(environ["RAW_URI"]).partition("?")[0]
    if not (path.startswith(BELOW) and path.endswith(suffix)):
        return ""
    return unquote(path[len(BELOW) : len(path) - len(suffix)], errors="surrogateescape")


def asked_for(body: bytes) -> tuple[str, str]:
    """The name and the url in the body of POST /models. Raises RequestError 400."""
    try:
        wanted = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not valid JSON: {error}") from None
    values = [wanted.get(key) for key in ("model_name", "url")] if isinstance(wanted, dict) else [None]
    if not all(isinstance(value, str) and value for value in values):
        raise RequestError(
            400, 'the body should be {"model_name": NAME, "url": "/opt/ml/models/NAME/model"}, both of them texts'
        )
    name, url = values
    check_name(str(name))
    return str(name), str(url)


def check_name(name: str) -> None:
    """Raises RequestError 400 for a name that a model could be loaded by, but neither asked nor removed: nginx refuses
    its address."""
    if "\0" in name or _climbs(name):
        raise RequestError(
            400, f"model_name is {name!r}: an address with it holds a NUL or climbs above the root, and is refused"
        )
    if len(quote(name, safe="")) > LONGEST_NAME:
        raise RequestError(400, f"model_name is too long: in an address it may have {LONGEST_NAME} characters")


def _climbs(name: str) -> bool:
    """Whether /models/NAME leads above the root, read as a path."""
    depth = 1
    for part in name.split("/"):
        if part not in ("", "."):
            depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def page_size(limit: str) -> int:
    """How many models one answer lists. Raises RequestError 400."""
    if not limit:
        return registry.PAGE
    # Of more digits than Python converts it would be an error of its own.
    if not limit.isdecimal() or len(limit) > 100 or not 1 <= int(limit) <= 1000:
        raise RequestError(400, f"limit is {limit[:50]!r}; it must be a whole number, at least 1 and at most 1000")
    return int(limit)
