"""Sessions of stateful endpoints: a folder for each, which every worker sees.

A client opens one by SessionId NEW_SESSION; the platform then sends all of its requests to the same container.
https://docs.aws.amazon.com/sagemaker/latest/dg/stateful-sessions.html

A session's id begins with the time of its end, and its folder lies among those that end at about the same time. So
nothing that a request does takes longer where more sessions are open; removing those that have ended, and counting
those that have not, is done beside the event loop.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gevent

from byo_container.container.handler import PREFIX, RequestContext
from byo_container.serving.errors import RequestError
from byo_container.serving.run_folder import RunFolder

HEADER = f"{PREFIX}Session-Id"
NEW, CLOSE = "NEW_SESSION", "CLOSE"
# The end in seconds since 1970 and 128 random bits, both in hexadecimal digits: safe as a folder's name.
ID = re.compile(r"([0-9a-f]{8})[0-9a-f]{32}")
# How many may be open in all workers; each is a folder, and keeps what the handler wrote there.
MOST_OPEN = 10_000
# How often a worker removes and counts, at most. In seconds.
SWEEP_S = 10.0
# Into so many folders a session's lifetime is divided.
PARTS = 20


def attend(lifetime_s: int, header: Callable[[str], str], inputs: list[Any]) -> tuple[RequestContext, bool]:
    """What a handler is told of a request, with its session, and whether the request was about that alone: a body
    {"requestType": "NEW_SESSION"} or "CLOSE", as AWS's own library has it. Raises RequestError 400 and 503."""
    only = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], dict) else {}
    asked, wanted = only.get("requestType"), header(HEADER)
    invocation = RequestContext(header)
    if not wanted and asked not in (NEW, CLOSE):
        return invocation, False
    sessions = of_this_run(lifetime_s)
    if asked == CLOSE:
        name, value = sessions.close(wanted).closed_header
        invocation.reply_headers[name] = value
        return invocation, True
    if NEW in (wanted, asked):
        session = sessions.open()
        name, value = session.opened_header
        invocation.reply_headers[name] = value
    else:
        session = sessions.get(wanted)
    invocation.session = session.folder
    return invocation, asked == NEW


@dataclass(frozen=True)
class Session:
    id: str
    folder: Path
    expires: float

    @property
    def opened_header(self) -> tuple[str, str]:
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.expires))
        return f"{PREFIX}New-Session-Id", f"{self.id}; Expires={until}"

    @property
    def closed_header(self) -> tuple[str, str]:
        return f"{PREFIX}Closed-Session-Id", self.id


class Sessions:
    """The sessions below `folder`; one that is `lifetime_s` old has ended. One worker's view of them."""

    def __init__(self, folder: Path, lifetime_s: int, most_open: int = MOST_OPEN) -> None:
        self._folder = folder
        self._lifetime_s = lifetime_s
        self._most_open = most_open
        self._part_s = max(1, lifetime_s // PARTS)
        self._swept = 0.0
        self._open = 0  # when it was counted last, with what this worker has opened and closed since

    def open(self) -> Session:
        """Raises RequestError 503 where too many are open."""
        if time.monotonic() - self._swept > SWEEP_S:
            self._swept = time.monotonic()
            gevent.get_hub().threadpool.spawn(self.sweep)
        if self._open >= self._most_open:
            message = f"{self._open:,} sessions are open, and more cannot be; close some by requestType {CLOSE}"
            raise RequestError(503, message, (("Retry-After", str(int(SWEEP_S))),))
        self._open += 1
        expires = int(time.time()) + self._lifetime_s
        session = self._session(f"{expires:08x}{uuid.uuid4().hex}", expires)
        session.folder.mkdir(parents=True)
        return session

    def get(self, session_id: str) -> Session:
        """Raises RequestError 400 for one that was never opened, was closed, or has ended."""
        if match := ID.fullmatch(session_id):
            session = self._session(session_id, int(match[1], 16))
            if session.expires > time.time() and session.folder.is_dir():
                return session
        raise RequestError(400, f"there is no session {session_id[:64]!r} (any more); open one by SessionId {NEW}")

    def close(self, session_id: str) -> Session:
        """Forgets a session and what it held. Raises RequestError 400 as `get` does."""
        session = self.get(session_id)
        gevent.get_hub().threadpool.apply(shutil.rmtree, (session.folder, True))
        self._open -= 1
        return session

    def sweep(self) -> None:
        """Removes those that have ended, and counts the others."""
        found = 0
        with suppress(FileNotFoundError):  # none was ever opened
            for part in self._folder.iterdir():
                if (int(part.name) + 1) * self._part_s <= time.time():
                    shutil.rmtree(part, ignore_errors=True)
                else:
                    found += len(os.listdir(part))
        self._open = found

    def _session(self, session_id: str, expires: int) -> Session:
        return Session(session_id, self._folder / str(expires // self._part_s) / session_id, expires)


@cache
def of_this_run(lifetime_s: int) -> Sessions:
    """Those that all workers of a running `serve` share."""
    return Sessions(RunFolder.from_environment().sessions, lifetime_s)
