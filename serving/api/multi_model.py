"""The routes of a multi-model endpoint: /models and below.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import orjson
from flask import Blueprint, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter

from byo_container.serving import headers
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
# The longest name, as it stands in an address: nginx takes 8 KB for the first line of a request.
LONGEST_NAME = 8000


def models_api(models: MultiModelServer) -> Blueprint:
    """Loading, listing, describing and removing models."""
    api = Blueprint("models", __name__)

    @api.get("/models")
    def page() -> dict[str, Any]:
        """The models in the order of their names, with the token of the next page if there is one."""
        token = request.args.get("next_page_token", "")
        entries, following = models.page(token, page_size(request.args.get("limit", "")))
        answer = {"models": [entry.as_json() for entry in entries]}
        return answer | ({"nextPageToken": following} if following else {})

    @api.post("/models")
    def load() -> dict[str, Any]:
        """Loads a model; all workers have it before the answer."""
        if headers.from_elsewhere(partial(headers.look_up, request.environ)):
            raise RequestError(403, "a page of another origin may not load models")
        name, url = model_to_load(read(request.environ, LARGE_BODY))
        models.load(name, url)
        return {"status": f"the model {name!r} is loaded"}

    @api.before_app_request
    def only_post_invokes() -> None:
        """Otherwise a model called `a/invoke`, with %2F in its address, would be taken for the method of `a`."""
        if request.method != "POST" and name_in(request.environ, INVOKE):
            raise MethodNotAllowed(["POST"])

    @api.get("/models/<opaque:name>")
    def describe(name: str) -> dict[str, Any]:
        """A model's name and the url that it was loaded from."""
        return models.describe(name_in(request.environ)).as_json()

    @api.delete("/models/<opaque:name>")
    def unload(name: str) -> dict[str, Any]:
        """Removes a model; its memory is free before the answer."""
        name = name_in(request.environ)
        models.unload(name)
        return {"status": f"the model {name!r} is removed"}

    return api


class InvokedModels:
    """Answers POST /models/NAME/invoke by the model of that name."""

    def __init__(self, models: MultiModelServer) -> None:
        self._models = models

    def respond(self, request: Request) -> Reply:
        """Raises RequestError."""
        name = name_in(request.variables, INVOKE)
        if not name:
            raise RequestError(404, "this server holds many models: POST /models/NAME/invoke")
        return self._models.respond(name, request)


def name_in(environ: Mapping[str, Any], suffix: str = "") -> str:
    """The model's name in an address such as /models/a%2Fb/invoke, decoded once; empty if there is none. Reads the
    address as the client wrote it, in which a slash within a name differs from one around it."""
    path = str(environ["RAW_URI"]).partition("?")[0]
    if not (path.startswith(BELOW) and path.endswith(suffix)):
        return ""
    return unquote(path[len(BELOW) : len(path) - len(suffix)], errors="surrogateescape")


def model_to_load(body: bytes) -> tuple[str, str]:
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
    """Raises RequestError 400 for a name under which a model could be loaded, but neither invoked nor removed, because
    nginx refuses its address."""
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
    # Python refuses to convert a text of more than 4,300 digits, with an error of its own.
    if not limit.isdecimal() or len(limit) > 100 or not 1 <= int(limit) <= 1000:
        raise RequestError(400, f"limit is {limit[:50]!r}; it must be a whole number, at least 1 and at most 1000")
    return int(limit)
