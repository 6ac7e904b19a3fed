"""Media type ↔ Python values: what comes in goes out again, and a client's nonsense is a client's error."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from byo_container.serving.codecs import charsets, decoding, encoding, media_types, negotiation
from byo_container.serving.codecs.media_types import CSV, JSON, JSON_LINES, NPY, TEXT, MediaType
from byo_container.serving.errors import RequestError

MEGABYTE = 1024 * 1024
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


def round_trip(outputs: list[Any], many: bool, name: str) -> list[Any]:
    body = encoding.encode(outputs, many, name)
    return decoding.decode(body, MediaType(name))[0]


def refusal(body: bytes, header: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decoding.decode(body, media_types.content_type(header))
    return caught.value


@given(VALUES)
def test_json_round_trip(value: Any) -> None:
    assert round_trip([value], False, JSON) == [value]


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_json_lines_round_trip(values: list[Any]) -> None:
    assert round_trip(values, True, JSON_LINES) == values


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=4), min_size=1, max_size=5))
def test_csv_round_trip(rows: list[list[str]]) -> None:
    assume(not rows[0][0].startswith("\ufeff"))  # taken for a byte order mark
    assert round_trip(rows, True, CSV) == rows


@given(st.lists(LINES, min_size=1, max_size=5))
def test_text_round_trip(lines: list[str]) -> None:
    body = encoding.encode(lines, True, TEXT)
    assert body == "".join(line + "\n" for line in lines).encode()
    if not body.startswith(b"\xef\xbb\xbf"):  # a byte order mark is not part of the text
        assert decoding.decode(body, MediaType(TEXT))[0] == lines


@given(st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_npy_round_trip(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    np.testing.assert_array_equal(round_trip([array], False, NPY)[0], array)


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=4), min_size=1, max_size=5))
def test_csv_is_read_as_pythons_csv_module_writes_it(rows: list[list[str]]) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    text = stream.getvalue()
    if not text.startswith("\ufeff"):
        assert decoding.decode(text.encode(), MediaType(CSV))[0] == rows


CHARSETS = ["utf-8", "latin-1", "utf-16", "utf-7", "idna", "undefined", "unicode_escape", "rot13", "zip", "\0", "no"]


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize("prefix", [b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\xef\xbb\xbf", b'{"a":'])
@pytest.mark.parametrize("name", [JSON, JSON_LINES, CSV, TEXT, NPY])
@given(body=st.binary(max_size=200), charset=st.sampled_from(CHARSETS))
def test_any_bytes_are_decoded_or_refused(name: str, prefix: bytes, body: bytes, charset: str) -> None:
    with contextlib.suppress(RequestError):
        inputs, many = decoding.decode(prefix + body, MediaType(name, charset))
        assert inputs
        assert many == (name in (JSON_LINES, CSV, TEXT))


@given(st.text())
def test_any_content_type_is_read_or_refused(header: str) -> None:
    media_types.content_type(header)
    with contextlib.suppress(RequestError):
        assert negotiation.answer_type(header, JSON) in encoding.ENCODERS


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def saved(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "header", "words"),
    [
        (b"", JSON, "empty"),
        (b"{", JSON, "not valid JSON"),
        (b"NaN", JSON, "not valid JSON"),
        (b"[" * 5000 + b"]" * 5000, JSON, "not valid JSON"),
        (b'"\\ud800"', JSON, "not valid JSON"),
        (b"\xff", JSON, "the body is not utf-8 (byte 0)"),
        ('"ä"'.encode("utf-16"), JSON, "the body is not utf-8 (byte 0); it looks like utf-16: send utf-8, or name the"),
        ('"a"'.encode("utf-16-le"), JSON, "not valid JSON: unexpected control character"),
        ('"a"'.encode("utf-16-le"), JSON, "looks like utf-16-le"),
        ('"ä"'.encode("utf-32"), JSON_LINES, "looks like utf-32"),
        (b"1\nx\n3\n", JSON_LINES, "line 2"),
        (b"1\n\n3\n", JSON_LINES, "line 2"),
        (b'1,"a\n', CSV, "line 1"),
        (b'1,"a"b\n', CSV, "line 1"),
        (b"1\n\n2\n", CSV, "line 2"),
        (b"\xef\xbb\xbf", CSV, "no row"),
        (b"caf\xe9", TEXT, "byte 3"),
        (saved(np.array([{"a": 1}])), NPY, "without pickles"),
        (saved(np.zeros(100))[:-1], NPY, "npy"),
        (saved(np.array(["ab"])).replace(b"b\0\0\0", b"\xff\xff\xff\x7f"), NPY, "there are none above 1,114,111"),
        (archive(), NPY, "npy"),
        (saved(np.array(["ab"])).replace(b"b\0\0\0", b"\x00\xd8\0\0"), NPY, "surrogate"),
        (saved(np.zeros((20_000_000, 0))), NPY, "no data"),
        (saved(np.zeros((1025, 1024, 0))), NPY, "no data"),
        (npy_header("{'descr': '|V0', 'fortran_order': False, 'shape': (2000000,)}\n"), NPY, "no data"),
        (npy_header("{'descr': '<U9999999', 'fortran_order': False, 'shape': (0,)}\n"), NPY, "no data"),
        (npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,)}\n"), NPY, "npy"),
        (npy_header("(" * 5000), NPY, "npy"),
    ],
)
def test_malformed_body_is_400_with_its_place(body: bytes, header: str, words: str) -> None:
    error = refusal(body, header)
    assert error.status == 400
    assert words in error.message


@pytest.mark.parametrize("header", ["image/png", "nonsense", "multipart/form-data; boundary=x", "text/csv; charset=no"])
def test_unknown_media_type_or_charset_is_415(header: str) -> None:
    assert refusal(b"x", header).status == 415


@pytest.mark.parametrize("charset", ["utf-7", "punycode", "idna", "unicode_escape", "raw_unicode_escape", "hex", "zip"])
def test_python_codecs_that_are_no_charsets_are_415(charset: str) -> None:
    assert refusal(b"x", f"{TEXT}; charset={charset}").status == 415


USUAL_NAMES = [
    "UTF-8",
    "utf8",
    "UTF-16LE",
    "utf_32",
    "ISO-8859-1",
    "ISO-8859-15",
    "windows-1252",
    "cp437",
    "GB2312",
    "gbk",
]
USUAL_NAMES += ["Shift_JIS", "GB18030", "Big5", "EUC-JP", "euc-kr", "KOI8-R", "latin1", "l1", "macintosh"]


@pytest.mark.parametrize("charset", USUAL_NAMES)
def test_charsets_have_their_usual_names(charset: str) -> None:
    assert decoding.decode("1,2".encode(charset), media_types.content_type(f"{CSV}; charset={charset}"))[0] == [
        ["1", "2"]
    ]


@pytest.mark.parametrize("charset", sorted(set(charsets.CODECS.values())))
def test_charsets_yield_no_half_surrogates_in_linear_time(charset: str) -> None:
    for pair in range(0xD7FF, 0xE001):
        for width, order in ((2, "little"), (2, "big"), (4, "little"), (4, "big")):
            with contextlib.suppress(UnicodeDecodeError):
                text = pair.to_bytes(width, order).decode(charset)  # type: ignore[arg-type]
                assert not any("\ud800" <= character <= "\udfff" for character in text)
    began = time.process_time()
    with contextlib.suppress(RequestError):
        decoding.decode_text(b"a-9b" * (MEGABYTE // 4), MediaType(TEXT, charset))
    assert time.process_time() - began < 5  # punycode takes a minute


def floats(size: int) -> bytes:
    number = b"0.123456789,"
    return b"[" + number * (size // len(number)) + b"1]"


@pytest.mark.parametrize(
    ("body", "name", "words"),
    [
        (b"[" + b"[]," * 1_100_000 + b"[]]", JSON, "lists and objects"),
        (b"[" + b'{"a":1},' * 1_100_000 + b"1]", JSON, "lists and objects"),
        (b"[]\n" * 2_100_000, JSON_LINES, "lines, lists and objects"),
        (b"a\n" * 2_100_000, CSV, "lines"),
        (b"a\r" * 2_100_000, CSV, "lines"),
        (b"," * 2_100_000, CSV, "values in one line"),
        (b",,,,,,,,,\n" * 1_000_000, CSV, "values"),
        (b"\n" * 9_000_000, TEXT, "lines"),
    ],
)
def test_body_with_too_many_values_is_413(body: bytes, name: str, words: str) -> None:
    error = refusal(body, name)
    assert error.status == 413
    assert words in error.message


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (floats(25 * MEGABYTE), JSON),
        (b"[" + b"1.5," * (6 * MEGABYTE) + b"1]", JSON),
        (b"[" + b"[0.25,1.75]," * 999_000 + b"1]", JSON),
        (b'["' + b"A[{,}]" * 400_000 + b'"]', JSON),
        (b"0.123456,12\n" * (2 * MEGABYTE - 200_000), CSV),
        (b"0,255,17\r\n" * 1_900_000, CSV),
        (b"A short line\n" * (25 * MEGABYTE // 13), TEXT),
    ],
)
def test_large_bodies_below_the_limits_are_decoded(body: bytes, name: str) -> None:
    assert decoding.estimated_size(body, MediaType(name)) > len(body)


def test_estimated_size_is_an_upper_bound() -> None:
    for item in (b"[]", b'{"a":1}', b"1.5", b'"ab"', '"日本"'.encode(), b"[1]", b'{"a":{"b":[1.5,"c"]}}'):
        body = b"[" + b",".join([item] * 20_000) + b"]"
        tracemalloc.start()
        values = decoding.decode(body, MediaType(JSON))
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert taken <= decoding.estimated_size(body, MediaType(JSON)) <= 20 * taken, item
        del values


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", MediaType(JSON)),
        ("application/json; charset=utf-8", MediaType(JSON)),
        ('Text/CSV;charset="UTF-8"; header=present', MediaType(CSV)),
        ("text/csv; Charset = latin-1", MediaType(CSV, "latin-1")),
        ("application/x-ndjson", MediaType(JSON_LINES)),
    ],
)
def test_content_type_with_parameters_and_aliases(header: str, expected: MediaType) -> None:
    assert media_types.content_type(header) == expected


@pytest.mark.parametrize(
    ("body", "header", "expected"),
    [
        (b"\xef\xbb\xbf[1]", JSON, [[1]]),
        ('["é"]'.encode("latin-1"), JSON + "; charset=latin-1", [["é"]]),
        ("1\n2".encode("utf-16"), JSON_LINES + "; charset=utf-16", [1, 2]),
        (b"1\r\n2\r\n", JSON_LINES, [1, 2]),
        (b"a,b\r\nc,d", CSV, [["a", "b"], ["c", "d"]]),
        (b'"a\nb","c""d"\n', CSV, [["a\nb", 'c"d']]),
        (b"a\0b,c\n", CSV, [["a\0b", "c"]]),
        ("a\u2028b\x0cc\nd".encode(), TEXT, ["a\u2028b\x0cc", "d"]),
        (b"a\n\nb\n", TEXT, ["a", "", "b"]),
    ],
)
def test_bodies_are_decoded(body: bytes, header: str, expected: list[Any]) -> None:
    assert decoding.decode(body, media_types.content_type(header))[0] == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        (" , ", JSON),
        ("text/csv", CSV),
        ("text/csv; charset=utf-8", CSV),
        ("TEXT/CSV", CSV),
        ("application/jsonl", JSON_LINES),
        ("image/png, text/plain;q=0.5", TEXT),
        ("text/plain;q=0.5, text/csv;q=0.9", CSV),
        ("text/plain, text/csv", TEXT),
        ("text/html, */*;q=0.1", JSON),
        ("text/*", CSV),
        ("application/*", JSON),
        ("text/csv;q=0, application/x-npy", NPY),
        ("text/csv;q=nonsense, text/plain;q=0.1", TEXT),
    ],
)
def test_accept_is_negotiated(header: str, expected: str) -> None:
    assert negotiation.answer_type(header, JSON) == expected


@pytest.mark.parametrize("header", ["image/png", "image/*", "text/csv;q=0", "*/*;q=0", "nonsense"])
def test_unsupported_accept_is_406(header: str) -> None:
    with pytest.raises(RequestError, match="Accept one of application/json") as caught:
        negotiation.answer_type(header, JSON)
    assert caught.value.status == 406


def test_accept_anything_means_the_default() -> None:
    assert negotiation.answer_type("*/*", "text/csv") == CSV
    assert negotiation.answer_type("", "application/x-ndjson") == JSON_LINES


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.arange(6).reshape(2, 3)[:, ::2], [[0, 2], [3, 5]]),
        ({"scores": np.array([0.5, 0.25]), 1: {2}}, {"scores": [0.5, 0.25], "1": [2]}),
        (np.array(["a", "b"]), ["a", "b"]),
    ],
)
def test_numpy_and_sets_become_json(output: Any, expected: Any) -> None:
    assert json.loads(encoding.encode([output], False, JSON)) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan"), np.array(math.nan)])
def test_nan_and_infinity_are_null(value: Any) -> None:
    assert encoding.encode([[value]], False, JSON) == b"[null]"


@pytest.mark.parametrize("name", [JSON, JSON_LINES, CSV, TEXT])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"RIFF", "a prediction of bytes has no form in JSON, CSV or text"),
        (bytearray(b"x"), "of bytes"),
        (memoryview(b"x"), "of bytes"),
        (np.array([b"x"]), "of bytes"),
        ({"a": [b"x"]}, "of bytes"),
        (object(), "a prediction of type object cannot be written; return texts, numbers"),
        ([object()], "of type object"),
    ],
)
def test_prediction_without_an_encoding_is_an_error_with_advice(value: Any, words: str, name: str) -> None:
    with pytest.raises(TypeError, match=words):
        encoding.encode([value], False, name)


def test_json_knows_no_complex_numbers() -> None:
    with pytest.raises(TypeError, match="of type complex"):
        encoding.encode([1j], False, JSON)


@pytest.mark.parametrize(
    ("outputs", "many", "name", "expected"),
    [
        ([[1, 2]], False, JSON_LINES, b"1\n2\n"),
        ([{"a": 1}], False, JSON_LINES, b'{"a":1}\n'),
        ([[1, 2], [3, 4]], True, CSV, b"1,2\n3,4\n"),
        ([[[1, 2], [3, 4]]], False, CSV, b"1,2\n3,4\n"),
        ([{"label": "a,b", "score": 0.5}], True, CSV, b'"a,b",0.5\n'),
        ([{"label": "a", "all": [1, 2]}], True, CSV, b'a,"[1,2]"\n'),
        ([np.array([0.5, 1])], True, CSV, b"0.5,1.0\n"),
        (["two\nlines"], True, TEXT, b"two lines\n"),
        ([np.float32(0.5)], True, TEXT, b"0.5\n"),
    ],
)
def test_line_oriented_answers(outputs: list[Any], many: bool, name: str, expected: bytes) -> None:
    assert encoding.encode(outputs, many, name) == expected


def test_long_array_is_complete_in_csv() -> None:
    (row,) = csv.reader(io.StringIO(encoding.encode([{"all": np.arange(2000)}], True, CSV).decode()))
    assert json.loads(row[0]) == list(range(2000))


def test_npy_never_pickles() -> None:
    with pytest.raises(RequestError, match="Accept application/json") as caught:
        encoding.encode([{"a": 1}], False, NPY)
    assert caught.value.status == 406
