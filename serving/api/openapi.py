"""The server's description of its routes, in OpenAPI 3.1.

Only the media types of a model's inputs and outputs are described, not their contents.
"""

from __future__ import annotations

from typing import Any

from byo_container.serving.api.websocket import PATH as WEBSOCKET
from byo_container.serving.codecs import decoding, encoding, media_types
from byo_container.serving.codecs.media_types import EVENTS
from byo_container.serving.models.execution_parameters import CONCURRENT, PAYLOAD, STRATEGIES, STRATEGY

JSON = media_types.JSON
BINARY = {"type": "string", "format": "binary"}
TEXT = {"type": "string"}
NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
# Statuses of errors that any request with a body may get.
BODY_ERRORS = (400, 406, 411, 413, 415, 500, 503, 504)


def document(multi_model: bool) -> dict[str, Any]:
    """The document of a server of one model, or of a multi-model server."""
    paths = {**COMMON, **(MULTI_MODEL if multi_model else ONE_MODEL)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "byo-container",
            "version": "1",
            "description": "A model, or many, by SageMaker's contract for containers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _errors(*statuses: int) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        str(status): {"description": "What is wrong, and what would be right.", "content": content}
        for status in statuses
    }


def _json(description: str, schema: str) -> dict[str, Any]:
    return {
        "200": {"description": description, "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
    }


def _invocation(*parameters: dict[str, Any], statuses: tuple[int, ...] = BODY_ERRORS) -> dict[str, Any]:
    schemas: dict[str, dict[str, Any]] = {JSON: {}, media_types.NPY: BINARY}
    answers = {**{name: {"schema": schemas.get(name, TEXT)} for name in encoding.ENCODERS}, EVENTS: {"schema": TEXT}}
    return {
        "summary": "Predictions for one record, or for one a line.",
        "parameters": [*parameters, *(_header(name, length) for name, length in HEADERS.items())],
        "requestBody": {
            "required": True,
            "description": "One record in JSON or npy, one a line in the other types. Where the model's handler is "
            "`batched`, a list in JSON (bare, or as `instances` or `inputs` in an object) and the rows of an npy are "
            "a record each.",
            "content": {name: {"schema": schemas.get(name, TEXT)} for name in decoding.DECODERS},
        },
        "responses": {
            "200": {
                "description": "A prediction for each record, in order; or its parts, as they come.",
                "content": answers,
            },
            **_errors(*statuses),
        },
    }


HEADERS = {"Custom-Attributes": 1024, "Inference-Id": 64, "Session-Id": 256, "Target-Variant": 63}


def _header(name: str, length: int) -> dict[str, Any]:
    schema = {"type": "string", "maxLength": length, "pattern": "^[ -~]*$"}
    return {"name": f"X-Amzn-SageMaker-{name}", "in": "header", "schema": schema}


EMPTY = {"description": "Empty."}
PING = {
    "summary": "Whether the server can answer.",
    "responses": {
        "200": EMPTY,
        "500": {"description": "The model cannot be loaded."},
        "503": {"description": "Not yet."},
    },
}
COMMON: dict[str, Any] = {
    "/ping": {"get": PING, "post": PING},
    "/execution-parameters": {
        "get": {
            "summary": "What batch transform should send.",
            "responses": _json("Its figures.", "ExecutionParameters"),
        }
    },
    "/metrics": {
        "get": {
            "summary": "What all workers have counted, for Prometheus.",
            "responses": {"200": {"description": "Its text format.", "content": {"text/plain": {"schema": TEXT}}}},
        }
    },
    "/openapi.json": {
        "get": {
            "summary": "This document.",
            "responses": {"200": {"description": "OpenAPI.", "content": {JSON: {"schema": {"type": "object"}}}}},
        }
    },
}
ONE_MODEL: dict[str, Any] = {
    "/invocations": {"post": _invocation()},
    WEBSOCKET: {
        "get": {
            "summary": "Opens a WebSocket: a message for each input, one or several for its answer.",
            "responses": {"101": {"description": "It is open."}, **_errors(400, 426)},
        }
    },
}
MULTI_MODEL: dict[str, Any] = {
    "/models": {
        "get": {
            "summary": "The models that are loaded, a page at a time.",
            "parameters": [
                {"name": "next_page_token", "in": "query", "schema": {"type": "string"}},
                {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
            ],
            "responses": {**_json("A page.", "Models"), **_errors(400)},
        },
        "post": {
            "summary": "Loads a model.",
            "requestBody": {"required": True, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Load"}}}},
            "responses": {**_json("It is loaded, for all workers.", "Status"), **_errors(400, 409, 413, 500, 507)},
        },
    },
    "/models/{name}": {
        "get": {
            "summary": "A model.",
            "parameters": [NAME],
            "responses": {**_json("Where it was loaded from.", "Model"), **_errors(400, 404)},
        },
        "delete": {
            "summary": "Removes a model.",
            "parameters": [NAME],
            "responses": {**_json("Its memory is free.", "Status"), **_errors(400, 404, 409, 504)},
        },
    },
    "/models/{name}/invoke": {"post": _invocation(NAME, statuses=(*BODY_ERRORS, 404, 507))},
}
SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["code", "type", "message"],
        "properties": {"code": {"type": "integer"}, "type": {"type": "string"}, "message": {"type": "string"}},
    },
    "ExecutionParameters": {
        "type": "object",
        "required": [CONCURRENT, PAYLOAD],
        "properties": {
            CONCURRENT: {"type": "integer", "minimum": 1},
            PAYLOAD: {"type": "integer", "minimum": 1, "maximum": 100},
            STRATEGY: {"enum": list(STRATEGIES)},
        },
    },
    "Load": {
        "type": "object",
        "required": ["model_name", "url"],
        "properties": {"model_name": {"type": "string", "minLength": 1}, "url": {"type": "string", "minLength": 1}},
    },
    "Model": {
        "type": "object",
        "required": ["modelName", "modelUrl"],
        "properties": {"modelName": {"type": "string"}, "modelUrl": {"type": "string"}},
    },
    "Models": {
        "type": "object",
        "required": ["models"],
        "properties": {
            "models": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
            "nextPageToken": {"type": "string"},
        },
    },
    "Status": {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}},
}
