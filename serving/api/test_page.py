"""The page to try a model at `/`: plain files, and what they show of the model. Off unless MODEL_SERVER_PAGE is on."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import orjson
from flask import Blueprint, Response

from byo_container.serving.codecs import decoding, encoding, media_types
from byo_container.serving.settings import MEGABYTE, Settings

TYPES = {"index.html": "text/html; charset=utf-8", "page.css": "text/css", "page.js": "text/javascript"}
# What the page shows of a client's or a model's making is text, and nothing comes from elsewhere.
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"


def page_api(description: Callable[[], dict[str, Any]], settings: Settings, many: bool) -> Blueprint:
    """`/`, and what it needs below /page."""
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
        told = {
            "about": description() | limits,
            "accepts": list(decoding.DECODERS),
            "answers": [*encoding.ENCODERS, "text/event-stream"],
            "many": many,
        }
        return Response(orjson.dumps(told), content_type=media_types.JSON)  # in this order

    return api
