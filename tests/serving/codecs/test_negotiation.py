"""Accept, by RFC 9110 §12.5.1, and by what clients of the platform really send."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from byo_container.serving.codecs import media_types, negotiation
from byo_container.serving.codecs.media_types import CSV, JSON, JSON_LINES, NPY, TEXT
from byo_container.serving.errors import RequestError


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        # The most specific range that matches a type decides on it, whatever the quality of others.
        ("application/json;q=0, */*", JSON_LINES),
        ("application/json;q=0, text/csv;q=0, text/*", TEXT),
        ("text/*;q=.9, text/csv;q=.1", TEXT),
        ("text/*;q=0.1, text/csv;q=0.9, */*;q=0.5", CSV),
        ("*/*;q=1, text/*;q=0", JSON),
        ("*/*;q=0, text/csv", CSV),
        # Of types that are liked alike the one that is named is better, then the one that stands first.
        ("*/*, text/csv", CSV),
        ("text/*, text/plain", TEXT),
        ("text/plain, text/csv", TEXT),
        # Parameters are no other type; in quotes they may hold anything.
        ("text/plain;format=fixed;q=0.1, text/csv;q=0.5, text/plain", TEXT),
        ('text/csv;x="a,text/plain;q=1";q=0.1, application/x-npy;q=0.5', NPY),
        ("text/csv ; q=0.1 , application/x-npy ; q=0.2", NPY),
        # What clients send: SageMaker's Pandas deserializer, its NumPy one, a browser, requests, curl.
        ("text/csv, application/json", CSV),
        ("text/csv,application/json", CSV),
        ("application/x-npy", NPY),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", JSON),
        ("*/*", JSON),
        ("*", JSON),
        ("", JSON),
        ("*;q=0.5, application/x-ndjson;q=0.6", JSON_LINES),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON),  # Java's HttpURLConnection
    ],
)
def test_best_media_type_is_chosen(header: str, expected: str) -> None:
    assert negotiation.answer_type_or_events(header, JSON) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/*", NPY),
        ("application/x-npy;q=0, application/*", JSON),
        ("application/x-npy;q=0.5, */*", JSON),
    ],
)
def test_default_wins_among_equal_media_types(header: str, expected: str) -> None:
    assert negotiation.answer_type(header, NPY) == expected


@pytest.mark.parametrize("header", ["application/json;q=0, */*;q=0", "text/csv;q=0", "*;q=0", "image/*", "a" * 9000])
def test_unsupported_accept_is_406_with_the_supported_types(header: str) -> None:
    with pytest.raises(RequestError, match="Accept one of application/json") as caught:
        negotiation.answer_type(header, JSON)
    assert caught.value.status == 406
    assert len(caught.value.message) < 300


def test_server_sent_events_only_where_nothing_else_is_accepted() -> None:
    assert negotiation.answer_type_or_events("text/event-stream", JSON) == media_types.EVENTS
    assert negotiation.answer_type_or_events("application/json, text/event-stream", JSON) == JSON
    with pytest.raises(RequestError):
        negotiation.answer_type_or_events("text/event-stream;q=0", JSON)


def test_preferences_are_by_quality_specificity_and_place() -> None:
    assert negotiation.preferences("*/*, a/b;q=0.5, c/*, d/e, f/g;q=0") == ["d/e", "c/*", "*/*", "a/b"]
    assert negotiation.preferences(" , ") == ["*/*"]


@pytest.mark.parametrize(
    "header",
    [
        ",".join(f"a/{n};q=0.{n}" for n in range(6000)),
        '"' * 32_768,
        ',"' * 16_384,
        ";" * 32_768,
        "," * 32_768,
        "*/*;q=" + "9" * 32_000,
        " " * 32_768,
    ],
)
def test_oversized_accept_is_cheap_and_not_cached(header: str) -> None:
    kept = negotiation._answer_type.cache_info().currsize
    began = time.process_time()
    for _ in range(20):
        negotiation.preferences(header)
        with suppress(RequestError):
            negotiation.answer_type(header, JSON)
    assert (time.process_time() - began) / 20 < 0.02  # some tenths of a millisecond, with room for a busy machine
    assert negotiation._answer_type.cache_info().currsize == kept
