"""Supervisors in processes of their own, for a supervisor takes over the signals and the children of its process."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PRELUDE = """
import os, signal, sys, threading, time
from byo_container.container.process.child import Command
from byo_container.container.process.run import run
from byo_container.container.process.supervisor import Supervisor
from byo_container.container.process.tree import descendants
python = lambda code, **more: Command([sys.executable, "-c", code], "child", **more)
"""


def supervise(code: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    """Runs `code` behind the prelude."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
