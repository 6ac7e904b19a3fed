"""The test page at `/`: plain files, and what they show of the model. Off unless MODEL_SERVER_PAGE is on."""

from __future__ import annotations

from importlib.resources import files

import orjson
from flask import Blueprint, Response

from byo_container.serving.codecs import decoding, encoding, media_types
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.multi_model.server import MultiModelServer
from byo_container.serving.settings import MEGABYTE, Settings

TYPES = {"index.html": "text/html; charset=utf-8", "page.css": "text/css", "page.js": "text/javascript"}
# The page shows what clients and models write as text only, and loads nothing from elsewhere.
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"


def page_api(model: ModelServer | MultiModelServer, settings: Settings, multi_model: bool) -> Blueprint:
    """`/`, and the files and figures that it loads from /page."""
    api = Blueprint("page", __name__)

    @api.get("/")
    def index() -> Response:
        return file("index.html")

    @api.get("/page/<any('page.css', 'page.js'):name>")
    def file(name: str) -> Response:
        body = files("byo_container.serving.api").joinpath("page", name).read_bytes()
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return Response(body, headers=headers, content_type=TYPES[name])

    @api.get("/page/about.json")
    def about() -> Response:
        limits = {
            "workers": settings.workers,
            "largest payload": f"{settings.max_payload // MEGABYTE} MB",
            "time for an answer": f"{settings.timeout_s} s",
        }
        facts = {
            "about": model.description | limits,
            "accepts": list(decoding.DECODERS),
            "answers": [*encoding.ENCODERS, "text/event-stream"],
            "many": multi_model,
        }
        return Response(orjson.dumps(facts), content_type=media_types.JSON)  # keeps this order; Flask's jsonify sorts

    return api
