"""The commands `train` and `serve`.

They stand outside the rooms, under a name that nobody else uses: the rooms' own names (container,
training, serving, handlers) are plain ones, and a folder of the same name on PYTHONPATH would be imported
in their place.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOMS = ("container", "training", "serving", "handlers")


def check_rooms() -> None:
    """Ends the program when an import would find somebody else's room, naming both."""
    home = Path(__file__).resolve().parent
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parent != home / room:
            sys.exit(
                f"byo-container: `import {room}` finds {origin or 'no regular package'}, not {home / room}: "
                f"take {'it' if origin else 'what hides it'} off PYTHONPATH or rename it"
            )


def train() -> int:
    """The command `train`."""
    check_rooms()
    from training.main import main

    return main(sys.argv[1:])


def serve() -> int:
    """The command `serve`."""
    check_rooms()
    from serving.main import main

    return main(sys.argv[1:])
