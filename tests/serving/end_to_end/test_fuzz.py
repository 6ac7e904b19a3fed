"""A fuzzer for the codecs: any bytes are either decoded or rejected with an explanation.

Runs for some seconds in `make test`, longer on demand:

    FUZZ_EXAMPLES=1000000 python -m pytest tests/serving/end_to_end/test_fuzz.py --timeout 0
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byo_container.serving.codecs import decoding, encoding, media_types, negotiation, stream_parts
from byo_container.serving.codecs.media_types import CSV, JSON, JSON_LINES, NPY, TEXT
from byo_container.serving.dialects import dialect, tensorflow_serving
from byo_container.serving.errors import RequestError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


# Whole bodies, from which broken ones are made.
SEEDS = {
    JSON: [
        b'{"a": [1, -2.5e3, null, true], "b": "\\u00fc\\ud83d\\ude00"}',
        b"[[[[[[]]]]]]",
        b'"x"',
        b"12345678901234567890",
    ],
    JSON_LINES: [b'{"a": 1}\n"b"\r\n[3]\n', b"1\n2\n3"],
    CSV: [b'1,2\n"a ""b""",\'c\'\r\n,\n', b'"over\ntwo lines",x\n', "ü;é\n".encode()],
    TEXT: ["one\ntwo\r\nthree \x0b \u2028 four\n".encode(), b"\n\n", b"\xef\xbb\xbfbom"],
    NPY: [
        npy(np.arange(6).reshape(2, 3)),
        npy(np.array([1.5, np.nan, np.inf])),
        npy(np.array(["a", "bc"])),
        npy(np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), (2, 0)),
        npy(np.array(7)),
        npy(np.zeros((0, 3))),
        npy(np.array(["2020-01-01"], dtype="datetime64[D]")),
        npy(np.array([1 + 2j])),
    ],
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=5,
)
NASTY = [
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b'"',
    b"[",
    b"{",
    b"\r",
    b"\n",
]
NASTY += [b"\x1a", "\u2028".encode(), b"\xef\xbb\xbf", b"9" * 400, b"(" * 50, b"'descr': '|O'", b"99999999999", b"-1"]
CHARSETS = ["", "; charset=utf-8", "; charset=utf-16", "; charset=latin-1", "; charset=utf-7", "; charset=idna"]
CHARSETS += ["; charset=no", "; charset=punycode", "; charset=hex", "; charset=utf-8; charset=x", ';charset="UTF-8"']


@st.composite
def broken_bodies(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A whole body, changed in some places."""
    body = bytearray(draw(st.sampled_from(seeds) | st.binary(max_size=64)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        until = draw(st.integers(at, min(len(body), at + 20)))
        body[at:until] = draw(
            st.sampled_from([b"", *NASTY]) | st.binary(max_size=8) | st.just(bytes(body[at:until]) * 3)
        )
    return bytes(body)


def outcome(act: Callable[[], Any]) -> Any:
    """What a function returns, or the error that tells a client what to do."""
    try:
        return act()
    except RequestError as error:
        return error


def decoded(body: bytes, header: str) -> tuple[list[Any], bool] | None:
    """None for what is refused, as only a client's mistake may be."""
    found = outcome(lambda: decoding.decode(body, media_types.content_type(header)))
    if isinstance(found, RequestError):
        assert found.status in (400, 413, 415), found
        assert "\n" not in found.message
        return None
    values, many = found
    return values, many


@pytest.mark.parametrize("name", SEEDS)
@fuzz
@given(data=st.data())
def test_bodies_are_read_or_refused(name: str, data: st.DataObject) -> None:
    body = data.draw(broken_bodies(SEEDS[name]))
    found = decoded(body, name + data.draw(st.sampled_from(CHARSETS)))
    if found is None:
        return
    values, many = found
    assert many == (name in decoding.LINE_TYPES)
    assert values
    assert many or len(values) == 1


@pytest.mark.parametrize("name", [JSON, JSON_LINES, CSV, TEXT])
@fuzz
@given(data=st.data())
def test_what_was_read_can_be_written_in_order_and_number(name: str, data: st.DataObject) -> None:
    """As an echo would: JSON lines hold all that the text types can, and come back as they were."""
    found = decoded(data.draw(broken_bodies(SEEDS[name])), name)
    if found is None:
        return
    values, _ = found
    again, _ = decoding.decode(encoding.encode(values, True, JSON_LINES), media_types.content_type(JSON_LINES))
    assert again == values
    for other in (CSV, TEXT):
        lines = encoding.encode(values, True, other)
        assert other == CSV or lines.count(b"\n") == len(values)


@fuzz
@given(data=st.data())
def test_arrays_are_written_in_every_media_type_or_rejected(data: st.DataObject) -> None:
    found = decoded(data.draw(broken_bodies(SEEDS[NPY])), NPY)
    if found is None:
        return
    for name in encoding.ENCODERS:
        with suppress(TypeError):  # complex numbers, say: a prediction that JSON does not know is the model's fault
            written = outcome(partial(encoding.encode, found[0], False, name))
            assert isinstance(written, bytes) or written.status == 406


@fuzz
@given(
    header=st.text(max_size=60)
    | st.lists(st.sampled_from([*SEEDS, "*/*", "text/*", ";q=", "0.5", ",", "q=nan"])).map("".join)
)
def test_headers_are_understood_or_refused(header: str) -> None:
    media_types.content_type(header)
    found = outcome(lambda: negotiation.answer_type_or_events(header, JSON))
    assert found in (*encoding.ENCODERS, media_types.EVENTS) or found.status == 406
    decoded(b"[1]", header)


WORDS = st.sampled_from(["instances", "inputs", "parameters", "options", "signature_name", "predictions"])
ASKED = st.dictionaries(WORDS | st.text(), VALUES | st.dictionaries(st.text(), VALUES), max_size=3) | VALUES


@fuzz
@given(value=ASKED)
def test_dialects_are_read_and_written_or_refused(value: Any) -> None:
    inputs = outcome(lambda: dialect.read(value))
    if isinstance(inputs, RequestError):
        assert inputs.status == 400
        assert isinstance(value, dict)
        return
    assert isinstance(inputs.values, list)
    assert inputs.many or len(inputs.values) == 1
    written = dialect.encode(inputs, inputs.values, JSON)
    assert dialect.encode_large(inputs, inputs.values, JSON) == written
    again = orjson.loads(written)
    if inputs.write is tensorflow_serving.write:
        assert again["predictions"] == inputs.values
    else:
        assert again == (inputs.values if inputs.listed else inputs.values[0])


OUTPUTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.builds(np.asarray, st.lists(st.floats(width=32), max_size=4), st.just("f4"))
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=15,
)


@fuzz
@given(
    outputs=st.lists(OUTPUTS, min_size=1, max_size=4), many=st.booleans(), name=st.sampled_from([JSON, CSV, TEXT, NPY])
)
def test_outputs_are_written_or_refused_in_words(outputs: list[Any], many: bool, name: str) -> None:
    """Bytes, say, are the model's fault. What is written is what the name says: JSON and UTF-8 without exceptions."""
    body, refused = b"null", ""
    try:
        body = encoding.encode(outputs, many, name)
    except (TypeError, RequestError) as error:
        refused = str(error)
    assert not refused or any(words in refused for words in ("cannot be written", "no form in", "no array"))
    if name == JSON:
        json.loads(body, parse_constant=lambda word: pytest.fail(word))
    if name != NPY:
        body.decode()


@fuzz
@given(part=st.text() | st.binary() | st.integers() | st.dictionaries(st.text(), st.none()))
def test_every_part_of_a_stream_is_one_event(part: Any) -> None:
    sent = stream_parts.event(part)
    assert sent.endswith(b"\n\n")
    assert all(line.startswith(b"data: ") for line in sent[:-2].split(b"\n"))
