"""What a client accepts, by RFC 9110: https://www.rfc-editor.org/rfc/rfc9110#field.accept

Not by Werkzeug's parser: it takes `text/csv; charset=utf-8` for another type than text/csv, skips an entry with the
quality `.9`, and needs 12 ms for a header of 40 KB.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

# Only headers up to this length are kept parsed: what clients send again and again is short.
CACHED_LENGTH = 256
# Media ranges, and parameters of each, beyond these are not read: no client has as many, and reading thousands of them
# would stop the event loop.
MOST_RANGES, MOST_PARAMETERS = 64, 16
# A text in quotes may hold commas and semicolons; only parameters that do not matter here have such values.
_QUOTED = re.compile(r'"[^"]*"?')


class MediaRange(NamedTuple):
    """One entry of an Accept header: `*/*`, `text/*` or `text/csv`, in lower case, `*` spelled `*/*`."""

    name: str
    quality: float
    """From 0, refused, to 1."""

    @property
    def specificity(self) -> int:
        return 2 - self.name.count("*")


def ranges(header: str) -> tuple[MediaRange, ...]:
    """The media ranges of an Accept header in its order, each once, parameters left out; `*/*` for an empty header."""
    return _cached_ranges(header) if len(header) <= CACHED_LENGTH else _read(header)


def _read(header: str) -> tuple[MediaRange, ...]:
    if '"' in header:
        header = _QUOTED.sub("", header)
    found: dict[str, float] = {}
    bare: set[str] = set()
    for item in header.split(",", MOST_RANGES)[:MOST_RANGES]:
        name, *parameters = (part.strip().lower() for part in item.split(";", MOST_PARAMETERS))
        if not name:
            continue
        name = "*/*" if name == "*" else name
        quality, others = 1.0, False
        for key, _, value in (parameter.partition("=") for parameter in parameters):
            if key.strip() == "q":
                quality = _quality(value)
            else:
                others = True
        # `text/plain;format=fixed;q=0.1` says nothing of text/plain as such, where that stands there too.
        if name not in found or (not others and name not in bare):
            found[name] = quality
        if not others:
            bare.add(name)
    return tuple(MediaRange(*pair) for pair in found.items()) or (MediaRange("*/*", 1.0),)


_cached_ranges = lru_cache(maxsize=256)(_read)


def _quality(text: str) -> float:
    """One that is no number refuses."""
    try:
        value = float(text.strip()[:8])
    except ValueError:
        return 0.0
    return min(value, 1.0) if value > 0 else 0.0  # NaN is not above 0


def preferred(header: str) -> list[str]:
    """The names of the media ranges, best first, refused ones left out. Of equal quality, the more specific one is
    better, then the one that stands first."""
    wanted = [entry for entry in ranges(header) if entry.quality]
    return [entry.name for entry in sorted(wanted, key=lambda entry: (-entry.quality, -entry.specificity))]


def choose(header: str, offers: Sequence[tuple[str, Sequence[str]]]) -> str | None:
    """The offer that an Accept header likes best; None where it refuses all.

    Each offer is a media type with the other names that it goes by; of equals the first is taken. By §12.5.1 the most
    specific range that matches an offer decides on it; of offers that are liked alike, the one that is named more
    specifically is better, then the one whose range stands first.
    """
    entries = ranges(header)
    best: tuple[float, int, int] | None = None
    chosen = None
    for name, names in offers:
        matching = [
            (entry.specificity, -place, entry.quality)
            for place, entry in enumerate(entries)
            if _matches(entry.name, name, names)
        ]
        if not matching:
            continue
        specificity, place, quality = max(matching)
        rank = (quality, specificity, place)
        if quality and (best is None or rank > best):
            best, chosen = rank, name
    return chosen


def _matches(wanted: str, name: str, names: Sequence[str]) -> bool:
    if wanted == "*/*" or wanted in names:
        return True
    return wanted.endswith("/*") and name.startswith(wanted[:-1])
