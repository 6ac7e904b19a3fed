"""Work of the server itself that would stop the event loop: large bodies, files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from gevent.util import wrap_errors

Result = TypeVar("Result")


def run_in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Calls a function in a thread of gevent's pool while the event loop goes on. Raises what the function raises."""
    # Errors are handed over as values: gevent would print a traceback for what is only a client's mistake, and never
    # hands over one with a deep traceback.
    outcome = gevent.get_hub().threadpool.apply(wrap_errors(Exception, function), arguments)
    if isinstance(outcome, Exception):
        raise outcome
    result: Result = outcome
    return result
