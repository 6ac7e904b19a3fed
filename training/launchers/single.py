"""One process on one host: `train`, when nothing else is asked for."""

from __future__ import annotations

import dataclasses

from container.process import Command

# A pipe would make Python hold lines back, and the log would come in lumps.
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


def launch(program: Command) -> list[Command]:
    """The program itself, its output kept for the failure file."""
    return [dataclasses.replace(program, env={**UNBUFFERED, **program.env}, capture=True)]
