"""HTTP as bytes on sockets, for requests that no client library would send."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving.support.server import Server


def head(*lines: str, method: str = "POST /invocations") -> bytes:
    return "\r\n".join([f"{method} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]).encode()


def parse(received: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of an answer, which must have come in this form."""
    top, _, body = received.rpartition(b"\r\n\r\n")
    assert b"application/json" in top, received
    return int(top.split()[1]), json.loads(body)


def status_of(received: bytes) -> int:
    """The status of an answer of which only the beginning may have come."""
    return int(received.split(maxsplit=2)[1])


@contextlib.contextmanager
def connections(server: Server, count: int, beginning: bytes) -> Iterator[list[socket.socket]]:
    """So many clients that have sent `beginning` and say no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened: list[socket.socket] = []
    try:
        if hard < count + 500:
            pytest.skip(f"{count} connections need {count + 500} open files; only {hard} are allowed")
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            opened.append(client)
            if beginning:
                client.sendall(beginning)
        yield opened
    finally:
        for client in opened:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
