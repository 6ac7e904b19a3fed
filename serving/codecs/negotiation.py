"""What a client accepts, by RFC 9110: https://www.rfc-editor.org/rfc/rfc9110#field.accept

Werkzeug reads the header. Its matching is not used: for it `text/csv; charset=utf-8` is another type than text/csv, and
it knows no type by several names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from werkzeug.http import parse_accept_header

from byo_container.serving.codecs.encoding import ENCODERS
from byo_container.serving.codecs.media_types import ALIASES, EVENTS, JSON
from byo_container.serving.errors import RequestError
from byo_container.serving.headers import MEDIA_TYPE

# What is beyond is not read: no client sends as much, and Werkzeug needs 12 ms for 40 KB, in which nothing else runs.
MAX_LENGTH = 4096
# Only headers up to this length are kept parsed: what clients send again and again is short.
CACHED_LENGTH = 256
# Java's HttpURLConnection sends `*; q=.2` by default. RFC 9110 has no such number, and Werkzeug skips it.
_WITHOUT_ZERO = re.compile(r"(;\s*q\s*=\s*)\.", re.IGNORECASE)


class MediaRange(NamedTuple):
    """One entry of an Accept header."""

    name: str
    """`*/*`, `text/*` or `text/csv`, in lower case and without parameters; `*` is spelled `*/*`."""
    quality: float
    """From 0, refused, to 1."""
    text: str
    """As the client wrote it, with parameters but without the quality."""

    @property
    def specificity(self) -> int:
        return 2 - self.name.count("*")


ANYTHING = MediaRange("*/*", 1.0, "*/*")


def answer_type(header: str, default: str) -> str:
    """The media type to answer in: the best of an Accept header for which there is an encoder. Anything, and no header,
    mean `default`, unless it is refused. Raises RequestError 406."""
    short = len(header) <= CACHED_LENGTH
    return _answer_type(header, default) if short else _answer_type.__wrapped__(header, default)


@lru_cache(maxsize=256)
def _answer_type(header: str, default: str) -> str:
    first = ALIASES.get(default, default)
    offers = [first, *(name for name in ENCODERS if name != first)]
    chosen = choose(header, [(name, _names(name)) for name in offers])
    if chosen is None:
        shown = header if len(header) <= 100 else f"{header[:100]}…"
        raise RequestError(406, f"cannot answer in {shown!r}; Accept one of {', '.join(ENCODERS)}")
    return chosen


def _names(name: str) -> list[str]:
    """All names of a media type."""
    return [name, *(alias for alias, meant in ALIASES.items() if meant == name)]


def answer_type_or_events(header: str, default: str) -> str:
    """The same; EVENTS where the client accepts nothing else. Raises RequestError 406."""
    try:
        return answer_type(header, default)
    except RequestError:
        if EVENTS not in preferences(header):
            raise
        return EVENTS


def preferences(header: str) -> list[str]:
    """The names of the media ranges, best first, without refused ones; `*/*` for no header. Of equal quality, the more
    specific one is better, then the one that stands first."""
    return [entry.name for entry in _by_preference(header)]


def favorite(header: str) -> str:
    """The media type that a client likes best, as it wrote it, without its quality; empty where it accepts anything.
    Raises RequestError 406 for what is no media type: it would become the answer's."""
    text = header.strip(" ,")
    if not text:
        return ""
    if not MEDIA_TYPE.fullmatch(header):
        raise RequestError(406, f"Accept is {header!r}; it must name media types, such as {JSON}")
    if "," in text or "q=" in text.lower():
        text = next((entry.text for entry in _by_preference(header)), text)
    return "" if text in ("*/*", "*") else text


def _by_preference(header: str) -> list[MediaRange]:
    accepted = [entry for entry in ranges(header) if entry.quality]
    return sorted(accepted, key=lambda entry: (-entry.quality, -entry.specificity))


def choose(header: str, offers: Sequence[tuple[str, Sequence[str]]]) -> str | None:
    """The offer that an Accept header likes best; None where it refuses all.

    Each offer is a media type with all its names; of equals the first is taken. By §12.5.1 the most specific range that
    matches an offer decides on it. Of offers that are liked alike, the one that is named more specifically is better,
    then the one whose range stands first.
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


def ranges(header: str) -> tuple[MediaRange, ...]:
    """The media ranges of an Accept header, each name once, equal ones in the header's order; `*/*` for an empty
    header."""
    return _cached_ranges(header) if len(header) <= CACHED_LENGTH else _read(header)


def _read(header: str) -> tuple[MediaRange, ...]:
    if len(header) > MAX_LENGTH:
        header = header[:MAX_LENGTH].rpartition(",")[0] or header[:MAX_LENGTH]
    found: dict[str, MediaRange] = {}
    for text, quality in parse_accept_header(_WITHOUT_ZERO.sub(r"\g<1>0.", header)):
        name = text.partition(";")[0].strip().lower()
        if not name:
            continue
        name = "*/*" if name == "*" else name
        # `text/plain;format=fixed;q=0.1` says nothing of text/plain as such, where that stands there too.
        if name not in found or (";" not in text and ";" in found[name].text):
            found[name] = MediaRange(name, quality, text)
    return tuple(found.values()) or (ANYTHING,)


_cached_ranges = lru_cache(maxsize=256)(_read)
