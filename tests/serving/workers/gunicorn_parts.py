"""gunicorn's own parts, made as gunicorn makes them, for tests without a server."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import get_parser


def config(**settings: Any) -> Config:
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    return cfg


def parsed(data: bytes, **settings: Any) -> Any:
    """The request that gunicorn reads from these bytes, as a worker gets it."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    return next(get_parser(config(**settings), ours, ("", -1)))


def worker(kind: Any, **settings: Any) -> Any:
    """A worker that has not been forked."""
    cfg = config(**settings)
    return kind(1, 1, [], SimpleNamespace(), 30.0, cfg, Logger(cfg))
