"""Suggestions for names that are unknown, often because of a typing error: "did you mean"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that is most similar to `name`; None where none is similar."""
    matches = difflib.get_close_matches(name.lower().replace("-", "_"), sorted(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the closest known one, and all that there are."""
    known = sorted(known)
    match = closest(name, known)
    meant = f"did you mean {match!r}? " if match else ""
    return f"{meant}known are: {', '.join(known) or 'none'}"
