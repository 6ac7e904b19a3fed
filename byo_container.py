"""The commands `train` and `serve`, and `byo-container`, by which an image finds out which of them is meant.

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


def open_standard_streams() -> None:
    """Opens what is closed of stdin, stdout and stderr on /dev/null. Else a pipe or socket of ours would get its
    number, and with it what the training code prints."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def train() -> int:
    """The command `train`."""
    open_standard_streams()
    fault = strange_room()
    if fault:
        # container.failure would write this, if it were sure to be ours.
        failure = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml", "output", "failure")
        with contextlib.suppress(OSError):
            failure.parent.mkdir(parents=True, exist_ok=True)
            failure.write_text(fault + "\n", encoding="utf-8", errors="backslashreplace")
        sys.exit(fault)
    from container import guardian

    guardian.watch_over_us()
    from training.main import main

    return main(sys.argv[1:])


def serve() -> int:
    """The command `serve`."""
    open_standard_streams()
    fault = strange_room()
    if fault:
        sys.exit(fault)
    from serving.main import main

    return main(sys.argv[1:])


def main() -> int:
    """The command `byo-container`: `train` or `serve` of ours, as its first word says, whoever else has commands of
    these names. Without a word as what is mounted does, for the SDK's version 3 starts training jobs in its local mode
    so. The program that is meant then takes our place, so that process 1 is called by what it does; it is the first of
    that name on the PATH, which may be a user's own, but no other package's."""
    if not sys.argv[1:]:
        meant = meant_command()
        if not belongs_to_another_package(meant):
            os.execvp(meant, [meant])  # noqa: S606
        sys.argv.append(meant)
    sys.argv = sys.argv[1:]
    if sys.argv[0] not in COMMANDS:
        sys.exit(f"byo-container: {sys.argv[0]!r} is no command; known are {', '.join(COMMANDS)}")
    return COMMANDS[sys.argv[0]]()


def check() -> int:
    """The command `byo-container check`: whether a shell would start our `train` and `serve`. For the end of an image's
    build, since sagemaker-training and sagemaker-containers bring commands of these names too."""
    fault = strange_room()
    if fault:
        sys.exit(fault)
    from container import commands

    return commands.check()


def belongs_to_another_package(command: str) -> bool:
    """Whether the first command of that name on the PATH does. Where our packages are hidden, that is told later."""
    if strange_room():
        return False
    from container.commands import foreign

    return bool(foreign([command]))


COMMANDS = {"train": train, "serve": serve, "check": check}


def meant_command() -> str:
    """A training job has its configuration mounted, an endpoint has not."""
    config = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml", "input", "config")
    return "train" if config.is_dir() else "serve"
