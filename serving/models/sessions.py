"""Sessions of stateful endpoints: a folder for each, which every worker sees.

A client opens one by SessionId NEW_SESSION; the platform then sends all of its requests to the same container.
https://docs.aws.amazon.com/sagemaker/latest/dg/stateful-sessions.html

A session's id begins with the time of its end, and its folder lies among those that end at about the same time. So no
request takes longer where more sessions are open. Ended sessions are removed, and the others counted, beside the event
loop.
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
from byo_container.serving.engine.thread_pool import run_in_thread
from byo_container.serving.errors import RequestError
from byo_container.serving.run_folder import RunFolder

HEADER = f"{PREFIX}Session-Id"
NEW, CLOSE = "NEW_SESSION", "CLOSE"
# The end in seconds since 1970, then 128 random bits, both in hexadecimal digits: safe as a folder's name.
ID = re.compile(r"([0-9a-f]{8})[0-9a-f]{32}")
# The most open sessions of all workers. Each is a folder, with the files that the handler writes there.
MAX_OPEN = 10_000
# The shortest time between two sweeps of a worker, in seconds.
SWEEP_S = 10.0
# How many folders there are for the sessions of one lifetime.
BUCKETS = 20
# The suffix of a session's folder while it is removed.
CLOSED = ".closed"


def request_context(lifetime_s: int, header: Callable[[str], str], inputs: list[Any]) -> tuple[RequestContext, bool]:
    """The context of a request, with its session, and whether the request is about the session alone: its body is
    {"requestType": "NEW_SESSION"} or "CLOSE", as in AWS's own library. Raises RequestError 400 and 503."""
    only = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], dict) else {}
    kind, session_id = only.get("requestType"), header(HEADER)
    context = RequestContext(header)
    if not session_id and kind not in (NEW, CLOSE):
        return context, False
    sessions = of_this_run(lifetime_s)
    if kind == CLOSE:
        context.reply_headers |= sessions.close(session_id).closed_header
        return context, True
    if NEW in (session_id, kind):
        session = sessions.open()
        context.reply_headers |= session.opened_header
    else:
        session = sessions.get(session_id)
    context.session = session.folder
    return context, kind == NEW


@dataclass(frozen=True)
class Session:
    id: str
    folder: Path
    expires: float

    @property
    def opened_header(self) -> dict[str, str]:
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.expires))
        return {f"{PREFIX}New-Session-Id": f"{self.id}; Expires={until}"}

    @property
    def closed_header(self) -> dict[str, str]:
        return {f"{PREFIX}Closed-Session-Id": self.id}


class Sessions:
    """The sessions below `folder`; one that is `lifetime_s` old has ended. One worker's view of them."""

    def __init__(self, folder: Path, lifetime_s: int, max_open: int = MAX_OPEN) -> None:
        self._folder = folder
        self._lifetime_s = lifetime_s
        self._max_open = max_open
        self._bucket_s = max(1, lifetime_s // BUCKETS)
        self._swept = 0.0
        self._open = 0  # as counted by the last sweep, and changed by this worker since

    def open(self) -> Session:
        """Raises RequestError 503 where too many are open."""
        if time.monotonic() - self._swept > SWEEP_S:
            self._swept = time.monotonic()
            gevent.get_hub().threadpool.spawn(self.sweep)
        if self._open >= self._max_open:
            message = f"{self._open:,} sessions are open, and more cannot be; close some by requestType {CLOSE}"
            raise RequestError(503, message, (("Retry-After", str(int(SWEEP_S))),))
        self._open += 1
        expires = int(time.time()) + self._lifetime_s
        session = self._session(f"{expires:08x}{uuid.uuid4().hex}", expires)
        session.folder.mkdir(parents=True)
        return session

    def get(self, session_id: str) -> Session:
        """Raises RequestError 400 for a session that was never opened, was closed, or has ended."""
        if match := ID.fullmatch(session_id):
            session = self._session(session_id, int(match[1], 16))
            if session.expires > time.time() and session.folder.is_dir():
                return session
        raise _no_session(session_id)

    def close(self, session_id: str) -> Session:
        """Ends a session and removes its folder. Raises RequestError 400 as `get` does."""
        session = self.get(session_id)
        closed = session.folder.with_name(f"{session_id}{CLOSED}")
        try:
            session.folder.rename(closed)  # at once: removing its files lets other requests run
        except FileNotFoundError:
            raise _no_session(session_id) from None
        self._open -= 1
        run_in_thread(shutil.rmtree, closed, True)
        return session

    def sweep(self) -> None:
        """Removes the sessions that have ended, and counts the others."""
        count = 0
        with suppress(FileNotFoundError):  # none was ever opened
            for bucket in self._folder.iterdir():
                if (int(bucket.name) + 1) * self._bucket_s <= time.time():
                    shutil.rmtree(bucket, ignore_errors=True)
                else:
                    count += len(os.listdir(bucket))
        self._open = count

    def _session(self, session_id: str, expires: int) -> Session:
        return Session(session_id, self._folder / str(expires // self._bucket_s) / session_id, expires)


def _no_session(session_id: str) -> RequestError:
    return RequestError(400, f"there is no session {session_id[:64]!r} (any more); open one by SessionId {NEW}")


@cache
def of_this_run(lifetime_s: int) -> Sessions:
    """The sessions that all workers of this run share."""
    return Sessions(RunFolder.from_environment().sessions, lifetime_s)
