"""Which texts a process can be given as an argument or as an environment variable."""

from __future__ import annotations

import os

LONGEST_STRING = 131_071
"""Bytes of an argument, or of a variable with its name: Linux's MAX_ARG_STRLEN without the NUL at the end.
Source: https://man7.org/linux/man-pages/man2/execve.2.html"""


def unpassable(text: str) -> str:
    """Why no process can be given `text` as an argument, or as a variable `NAME=VALUE`; empty where it can."""
    if "\0" in text:
        return f"has a NUL: {short(text)}"
    try:
        length = len(os.fsencode(text))
    except UnicodeEncodeError as error:
        return f"has what is no character: {error.object[error.start]!r}"
    if length > LONGEST_STRING:
        return f"is too long: {length} bytes, and no more than {LONGEST_STRING} are possible"
    return ""


def short(text: str) -> str:
    """A text of unknown length, for a message."""
    return repr(text if len(text) < 100 else f"{text[:100]}...")
