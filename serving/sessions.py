"""Sessions of stateful endpoints: a folder for each, which every worker sees.

A client opens one by SessionId NEW_SESSION; the platform then sends all of its requests to the same container.
https://docs.aws.amazon.com/sagemaker/latest/dg/stateful-sessions.html
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
from pathlib import Path
from typing import Any

from container.handler import PREFIX, Invocation
from serving.errors import RequestError

HEADER = f"{PREFIX}Session-Id"
EXPIRES = ".expires"  # a file in a session's folder, whose time is that of the session's end
NEW, CLOSE = "NEW_SESSION", "CLOSE"
# An id as the platform lets it be; also one that is safe as a folder's name.
ID = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def attend(lifetime_s: int, header: Callable[[str], str], inputs: list[Any]) -> tuple[Invocation, bool]:
    """What a handler is told of a request, with its session, and whether the request was about that alone: a body
    {"requestType": "NEW_SESSION"} or "CLOSE", as AWS's own library has it. Raises RequestError 400."""
    only = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], dict) else {}
    asked, wanted = only.get("requestType"), header(HEADER)
    invocation = Invocation(header)
    if not wanted and asked not in (NEW, CLOSE):
        return invocation, False
    sessions = Sessions.of_this_run(lifetime_s)
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
    """The sessions below `folder`; one that is `lifetime_s` old has ended."""

    def __init__(self, folder: Path, lifetime_s: int) -> None:
        self._folder = folder
        self._lifetime_s = lifetime_s

    @classmethod
    def of_this_run(cls, lifetime_s: int) -> Sessions:
        """Those that all workers of a running `serve` share."""
        return cls(Path(os.environ["BYO_SERVE_RUNTIME"]) / "sessions", lifetime_s)

    def open(self) -> Session:
        self._sweep()
        expires = int(time.time()) + self._lifetime_s
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir(parents=True)
        (folder / EXPIRES).touch()
        os.utime(folder / EXPIRES, (expires, expires))
        return Session(folder.name, folder, expires)

    def get(self, session_id: str) -> Session:
        """Raises RequestError 400 for one that was never opened, was closed, or has ended."""
        folder = self._folder / session_id
        if ID.fullmatch(session_id) and folder.is_dir():
            expires = (folder / EXPIRES).stat().st_mtime
            if expires > time.time():
                return Session(session_id, folder, expires)
        raise RequestError(400, f"there is no session {session_id!r} (any more); open one by SessionId {NEW}")

    def close(self, session_id: str) -> Session:
        """Forgets a session and what it held. Raises RequestError 400 as `get` does."""
        session = self.get(session_id)
        shutil.rmtree(session.folder, ignore_errors=True)
        return session

    def _sweep(self) -> None:
        """Removes those that have ended."""
        for folder in self._folder.glob("*"):
            with suppress(OSError):
                if (folder / EXPIRES).stat().st_mtime < time.time():
                    shutil.rmtree(folder, ignore_errors=True)
