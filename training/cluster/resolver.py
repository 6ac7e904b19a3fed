"""Looking up hosts' names without blocking: a process does it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from byo_container.container.process.child import Command

LOOK_UP = Path(__file__).resolve().parent.parent / "processes" / "look_up.py"


def look_up(names: Iterable[str], on_resolved: Callable[[str], None]) -> Command:
    """The process that looks up `names` until all resolve. `on_resolved` gets each as soon as it does."""
    argv = [sys.executable, "-I", "-S", str(LOOK_UP), *sorted(names)]
    return Command(argv, "the look-up of the hosts' names", on_line=on_resolved, background=True)
