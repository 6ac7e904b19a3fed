"""What a client is told when its request cannot be answered."""

from __future__ import annotations

from http import HTTPStatus

import orjson


class RequestError(Exception):
    """A request that fails: an HTTP status, and a message that the client can act on."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class ModelRefusalError(RequestError):
    """A request that the model's own code refuses. The log tells it, whatever the status: to the owner of the model it
    is news, unlike a request that the server refuses by itself."""


def phrase(status: int) -> str:
    """`Not Found` for 404; for a status without a name, the status itself."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)


def error_body(status: int, message: str) -> bytes:
    """The JSON of an error, in the shape of multi-model-server: code, type, message."""
    return orjson.dumps({"code": status, "type": phrase(status).replace(" ", ""), "message": message})
