"""The commands `train` and `serve`.

They stand outside the rooms, under a name that nobody else uses: the rooms' own names (container,
training, serving, handlers) are plain ones, and a folder of the same name on PYTHONPATH would be imported
in their place.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

ROOMS = ("container", "training", "serving", "handlers")


def strange_room() -> str | None:
    """What is wrong where an import would find somebody else's room, naming both."""
    home = Path(__file__).resolve().parent
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parent != home / room:
            return (
                f"byo-container: `import {room}` finds {origin or 'no regular package'}, not {home / room}: "
                f"take {'it' if origin else 'what hides it'} off PYTHONPATH or rename it"
            )
    return None


def train() -> int:
    """The command `train`."""
    fault = strange_room()
    if fault:
        # container.failure would write this, if it were sure to be ours.
        failure = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml", "output", "failure")
        with contextlib.suppress(OSError):
            failure.parent.mkdir(parents=True, exist_ok=True)
            failure.write_text(fault + "\n", encoding="utf-8", errors="backslashreplace")
        sys.exit(fault)
    from training.main import main

    return main(sys.argv[1:])


def serve() -> int:
    """The command `serve`."""
    fault = strange_room()
    if fault:
        sys.exit(fault)
    from serving.main import main

    return main(sys.argv[1:])
