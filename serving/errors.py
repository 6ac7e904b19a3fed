"""Errors that a client gets when its request cannot be answered."""

from __future__ import annotations

import traceback
from http import HTTPStatus

import orjson

from byo_container.container.log import log


class RequestError(Exception):
    """A request that fails: an HTTP status, and a message that the client can act on."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class ModelRefusalError(RequestError):
    """A request that the model's own code refuses. It is logged whatever its status: the owner of the model wants to
    know, unlike of a request that the server refuses by itself."""


def phrase(status: int) -> str:
    """`Not Found` for 404; for a status without a name, the status itself."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)


def status_line(status: int) -> str:
    """`404 Not Found`."""
    return "200 OK" if status == 200 else f"{status} {phrase(status)}"


def error_body(status: int, message: str) -> bytes:
    """The JSON of an error, in the shape of multi-model-server: code, type, message.

    JSON in UTF-8 cannot hold half a surrogate pair; it becomes a question mark.
    """
    text = message.encode(errors="replace").decode()
    return orjson.dumps({"code": status, "type": phrase(status).replace(" ", ""), "message": text})


def known_error(error: BaseException, request_id: str) -> RequestError:
    """The error that the client sees: its own mistake, or only that the model failed, with the traceback in the log."""
    if isinstance(error, RequestError):
        if error.status >= 500 or isinstance(error, ModelRefusalError):
            log.warning("request %s: %d: %s", request_id, error.status, error.message)
        return error
    # The cause first: the line is long, and most of it is not about the model's code.
    cause = traceback.format_exception_only(error.__cause__ or error)[-1].strip()
    log.error("request %s failed: %s", request_id, cause, exc_info=error, extra={"request_id": request_id})
    return RequestError(500, f"the model failed on this request; the log of the server says why ({request_id})")
