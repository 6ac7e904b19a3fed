"""Waiting for an event, looking at processes, and ports that nothing listens on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(true: Callable[[], object], what: str, timeout_s: float = 20) -> None:
    """Waits until `true()`; fails, naming `what`, when that takes too long."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
