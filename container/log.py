"""The logger of train and serve: each record is one line on stderr, as text or as JSON."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger("byo_container")
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The request, or the requests of the batch, that this thread or greenlet works on; added to each line of the log."""

# Characters that end a line or control a terminal, and surrogates, which cannot be encoded.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
BLOCKED_S = 2.0
_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time (UTC), level, message, and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            fields["request_id"] = request_id
        fields.update({k: v for k, v in vars(record).items() if k not in _RESERVED})
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO [42] message`, on one line also when it holds a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        request_id = f" [{REQUEST_ID.get()}]" if REQUEST_ID.get() else ""
        line = f"{time.replace('+00:00', 'Z')} {record.levelname} [{record.process}]{request_id} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        # For log collectors each line is an event, so a traceback has to be on one line.
        line = line.replace("\n", " | ")
        return line if line.isprintable() else CONTROL.sub(_escaped, line)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class ImpatientHandler(logging.StreamHandler[Any]):
    """Drops records while stderr has been blocked for BLOCKED_S, so that a reader that hangs does not block us."""

    _blocked_s = BLOCKED_S

    def emit(self, record: logging.LogRecord) -> None:
        try:
            writable = select.poll()
            writable.register(self.stream.fileno(), select.POLLOUT)
        except (OSError, ValueError):  # stderr has no file descriptor
            super().emit(record)
            return
        if writable.poll(self._blocked_s * 1000):
            self._blocked_s = BLOCKED_S
            super().emit(record)
        else:
            self._blocked_s = 0.0


def configure(environ: Mapping[str, str] = os.environ, everything: bool = False, patient: bool = True) -> None:
    """Logs to stderr by SAGEMAKER_CONTAINER_LOG_LEVEL (a number or a name) and LOG_FORMAT (text or json). With
    `everything`, the records of other loggers from WARNING on too. Without `patient`, see ImpatientHandler."""
    handler = logging.StreamHandler(sys.stderr) if patient else ImpatientHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if environ.get("LOG_FORMAT", "").lower() == "json" else TextFormatter())
    log.handlers[:] = [handler]
    log.propagate = False
    if everything:
        logging.getLogger().handlers[:] = [handler]
    set_level(environ.get("SAGEMAKER_CONTAINER_LOG_LEVEL", ""))


def set_level(level: str | int) -> None:
    """Sets the level by number (`20`) or name (`info`). Anything else means INFO."""
    log.setLevel(level_number(level))


def level_number(level: str | int) -> int:
    text = str(level).strip().upper()
    return int(text) if text.isdecimal() else logging.getLevelNamesMapping().get(text, logging.INFO)
