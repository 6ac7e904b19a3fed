"""Looking up hosts' names without blocking: a process does it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from byo_container.container.process.child import Command
from byo_container.container.process.supervisor import Supervisor

LOOK_UP = Path(__file__).resolve().parent.parent / "processes" / "look_up.py"


class Resolver:
    """Looks up `names`, and calls `on_resolved` with each as soon as it resolves."""

    def __init__(self, names: Iterable[str], on_resolved: Callable[[str], None]) -> None:
        self.unresolved = set(names)
        self._on_resolved = on_resolved

    def start(self, supervisor: Supervisor) -> None:
        """Goes on looking up while `supervisor` waits, until all names resolve."""
        if self.unresolved:
            argv = [sys.executable, "-I", "-S", str(LOOK_UP), *sorted(self.unresolved)]
            name = "the look-up of the hosts' names"
            supervisor.start(Command(argv, name, on_line=self._resolved, background=True))

    def _resolved(self, name: str) -> None:
        if name in self.unresolved:
            self.unresolved.discard(name)
            self._on_resolved(name)
