"""The logs of several hosts as one, and messages of our own."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

COLOURS = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94, 91)


class Screen:
    """Shows whole lines, each with its host's name in front."""

    def __init__(self, names: Sequence[str], out: IO[bytes], coloured: bool) -> None:
        self.out = out
        self.is_open = True
        """Whether anybody still reads `out`."""
        width = max(map(len, names))
        self._prefixes = {}
        for number, name in enumerate(names):
            text = f"{name:{width}} |"
            colour = COLOURS[number % len(COLOURS)]
            self._prefixes[name] = (f"\x1b[{colour}m{text}\x1b[0m " if coloured else f"{text} ").encode()

    def stream(self, name: str) -> HostStream:
        """One stream of the host `name`."""
        return HostStream(functools.partial(self.show, name))

    def show(self, name: str, lines: Sequence[bytes]) -> None:
        if not self.is_open:
            return
        try:
            self.out.write(b"".join(self._prefixes[name] + line + b"\n" for line in lines))
            self.out.flush()
        except BrokenPipeError:
            self.is_open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())


class HostStream:
    """Splits one stream of a host's output into lines. Each state of a progress bar is a line."""

    def __init__(self, show: Callable[[Sequence[bytes]], None]) -> None:
        self._show = show
        self._after_return = False

    def write(self, data: bytes) -> None:
        """Shows what Output passes on with `whole_lines`: lines that end with a newline or a carriage return."""
        if self._after_return:
            data = data.removeprefix(b"\n")  # the second half of a line's end
        self._after_return = data.endswith(b"\r")
        *ended, last = data.split(b"\n")
        lines = [state for line in ended for state in _states(line) or [b""]] + _states(last)
        if lines:
            self._show(lines)


def _states(line: bytes) -> list[bytes]:
    return [state for state in line.split(b"\r") if state]


def wants_colour(out: IO[bytes], environ: Mapping[str, str] = os.environ) -> bool:
    """Yes on a terminal, and everywhere with FORCE_COLOR; never with NO_COLOR (https://no-color.org)."""
    if environ.get("NO_COLOR") or environ.get("FORCE_COLOR") == "0":
        return False
    return bool(environ.get("FORCE_COLOR")) or (out.isatty() and environ.get("TERM") != "dumb")


def print_message(text: str) -> None:
    """A line of our own, on stderr."""
    with contextlib.suppress(OSError):
        print(f"train_local.sh: {text}", file=sys.stderr, flush=True)
