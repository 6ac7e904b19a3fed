"""Clients that talk to gunicorn itself: the part of nginx's work that is done for them without nginx.

Bodies and answers are not buffered: a client that is slow keeps its greenlet and its connection for as long as it makes
progress.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from gevent import socket

from byo_container.serving.errors import RequestError
from byo_container.serving.settings import MEGABYTE

# How long a client may send nothing of a body, or take nothing of an answer. As nginx's client_body_timeout and
# send_timeout.
PATIENCE_S = 60.0
# What a client must take within that time, at the least.
PIECE = 256 * 1024
HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]+")
OURS = frozenset({"X-REQUEST-ID", "X-REQUEST-START"})


class Client(socket.socket):  # type: ignore[misc]
    """The connection of a client. One that takes nothing of an answer for its `timeout` counts as gone."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        try:
            if len(data) <= PIECE:
                super().sendall(data, flags)
                return
            with memoryview(data) as view:
                for start in range(0, len(view), PIECE):  # the time-out is for each piece
                    super().sendall(view[start : start + PIECE], flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read its answer") from None


def client(accepted: Any) -> Client:
    """The same connection as a Client."""
    return Client(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())


def admit(req: Any, max_payload: int) -> None:
    """Gives a request of gunicorn's an id of our own, in place of one that the client may have sent: it stands in every
    line of the log. Raises RequestError for what nginx would refuse and gunicorn does not."""
    found: dict[str, list[str]] = {}
    for name, value in req.headers:
        found.setdefault(name, []).append(value)
    hosts = found.get("HOST", [])
    if len(hosts) > 1 or (req.version >= (1, 1) and not hosts) or not all(map(HOST.fullmatch, hosts)):
        raise RequestError(400, "send one header Host, with a name or an address")
    if found.get("TRANSFER-ENCODING", ["chunked"])[0].strip().lower() != "chunked":
        raise RequestError(501, "the transfer coding is not known; send Content-Length, or a chunked body")
    # Before anybody says `100 Continue`.
    if req._expected_100_continue and int(found.get("CONTENT-LENGTH", ["0"])[0]) > max_payload:
        raise RequestError(413, f"the body is above the limit of {max_payload // MEGABYTE} MB; send less at once")
    req.headers = [header for header in req.headers if header[0] not in OURS]
    req.headers.append(("X-REQUEST-ID", os.urandom(16).hex()))
