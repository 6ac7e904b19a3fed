"""Runs a user's script inside this process, as Python itself would run it."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
from collections.abc import Sequence


def name_of(script: Sequence[str]) -> str:
    """The script's name in messages, for `train.py …` or `-m package.train …`."""
    return script[1] if script[0] == "-m" else script[0]


def run(script: list[str]) -> None:
    """Runs `train.py …` or `-m package.train …`."""
    put_on_path(script)
    with contextlib.ExitStack() as stack:
        stack.callback(sys.stdout.flush)
        try:
            if script[0] == "-m":
                sys.argv = script[1:]
                runpy.run_module(script[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = script
                runpy.run_path(script[0], run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0):
                raise


def put_on_path(script: Sequence[str]) -> None:
    """Makes the script's neighbours importable, as Python does."""
    sys.path.insert(0, os.getcwd() if script[0] == "-m" else os.path.dirname(os.path.abspath(script[0])))
