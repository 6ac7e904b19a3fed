"""The commands `train` and `serve`, and `byo-container`, by which an image finds out which of them is meant."""

from __future__ import annotations

import os
import sys
from pathlib import Path


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
    from byo_container.container.process import guardian

    guardian.watch_over_us()
    from byo_container.training.main import main

    return main(sys.argv[1:])


def serve() -> int:
    """The command `serve`."""
    open_standard_streams()
    from byo_container.serving.main import main

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
    from byo_container.container.source import console_scripts

    return console_scripts.check()


def belongs_to_another_package(command: str) -> bool:
    """Whether the first command of that name on the PATH does."""
    from byo_container.container.source.console_scripts import shadowed

    return bool(shadowed([command]))


COMMANDS = {"train": train, "serve": serve, "check": check}


def meant_command() -> str:
    """A training job has its configuration mounted, an endpoint has not."""
    config = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml", "input", "config")
    return "train" if config.is_dir() else "serve"
