"""Request bodies as Python values.

A body is decoded to a list of inputs ("records"). Line-oriented types (JSON lines, CSV, text) hold several, one on each
line; JSON and npy hold one.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import Any

import orjson

from byo_container.serving.codecs import charsets, decoded_size
from byo_container.serving.codecs.media_types import CSV, FORM, JSON, JSON_LINES, NPY, TEXT, MediaType, import_numpy
from byo_container.serving.errors import RequestError

csv.field_size_limit(2**31 - 1)  # a cell may be as large as the payload limit lets it
# An array without a single byte may claim any shape, and lists made of it are that large.
EMPTY_ARRAY = 2**20


def decode(body: bytes, media: MediaType) -> tuple[list[Any], bool]:
    """The inputs in a request body, and whether its media type holds several records.

    Raises RequestError: 415 for a type without a decoder, 400 for a body that is not of its type, 413 for one that
    would take too much memory.
    """
    decoder = DECODERS.get(media.name)
    if decoder is None:
        form = (
            " (curl -d sends this type by itself: add -H 'Content-Type: application/json')"
            if media.name == FORM
            else ""
        )
        raise RequestError(415, f"cannot read {media.name!r}{form}; send one of {', '.join(DECODERS)}")
    if not body:
        raise RequestError(400, f"the body is empty; it should hold {media.name}")
    if len(body) > decoded_size.CONTAINERS:  # a smaller one stays below all limits
        estimated_size(body, media)
    return decoder(body, media), media.name in LINE_TYPES


def unwrap_single_cells(rows: list[list[str]]) -> list[Any]:
    """The rows of CSV; a row of one cell as that cell: a column of texts is then what text/plain with the same lines
    is."""
    return [row[0] if len(row) == 1 else row for row in rows]


def estimated_size(body: bytes, media: MediaType) -> int:
    """An estimate of the bytes that a request body takes once it is decoded. Raises RequestError 413 above the limit
    of one request."""
    return ESTIMATES.get(media.name, len)(body)


def decode_text(body: bytes, media: MediaType) -> str:
    """A body as text, a byte order mark left out. Raises RequestError: 415 for a charset that is not known, 400 for
    bytes that are not of it."""
    codec = charsets.codec(media.charset)
    if codec is None:
        raise RequestError(415, f"the charset {media.charset!r} is not read here; send utf-8")
    try:
        return body.decode(codec)
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not {media.charset} (byte {error.start}){_likely(body, media)}") from None


def _likely(body: bytes, media: MediaType) -> str:
    """Advice for a text that begins like UTF-16 or UTF-32 while the client declares UTF-8."""
    found = json.detect_encoding(body)
    if charsets.codec(media.charset) == "utf_8_sig" and not found.startswith("utf-8"):
        return f"; it looks like {found}: send utf-8, or name the charset in the Content-Type"
    return ""


def _decode_json(body: bytes, media: MediaType) -> list[Any]:
    plain_values = media.charset == "utf-8" and not body.startswith(BOM_UTF8)
    try:
        return [orjson.loads(body if plain_values else decode_text(body, media))]
    except orjson.JSONDecodeError as error:
        if plain_values:
            decode_text(body, media)  # orjson reports bytes that are no UTF-8 as half surrogates
        raise RequestError(400, f"the body is not valid JSON: {error}{_likely(body, media)}") from None


def _decode_json_lines(body: bytes, media: MediaType) -> list[Any]:
    values = []
    for number, line in enumerate(_lines(decode_text(body, media)), 1):
        try:
            values.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise RequestError(400, f"line {number} of the body is not valid JSON: {error.msg}") from None
    return values


def _decode_csv(body: bytes, media: MediaType) -> list[Any]:
    reader = csv.reader(io.StringIO(decode_text(body, media), newline=""), strict=True)
    rows = []
    try:
        for row in reader:
            if not row:
                raise RequestError(400, f"line {reader.line_num} of the body is empty; it should be a row of CSV")
            rows.append(row)
    except csv.Error as error:
        raise RequestError(400, f"line {reader.line_num} of the body is not valid CSV: {error}") from None
    if not rows:
        raise RequestError(400, "the body holds no row of CSV")
    return rows


def _decode_text(body: bytes, media: MediaType) -> list[Any]:
    return list(_lines(decode_text(body, media)))


def _lines(text: str) -> list[str]:
    # Not splitlines(), which also splits at form feeds and at the Unicode separators inside a sentence.
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines]


def _decode_npy(body: bytes, media: MediaType) -> list[Any]:
    numpy = import_numpy(415)
    try:
        # Not numpy.load, which also opens archives. Never with pickles: they run the client's code.
        array = numpy.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
        _check_shape(array)
        _check_characters(array)
        return [array]
    except Exception as error:  # of many kinds: the header is Python, and may ask for more memory than there is
        raise RequestError(400, f"the body is not an array in npy format without pickles: {error}") from None


def _check_shape(array: Any) -> None:
    """Raises ValueError where an array claims a size that its data does not have."""
    size = max(array.dtype.itemsize, math.prod(length for length in array.shape if length))
    if not array.nbytes and size > EMPTY_ARRAY:
        raise ValueError(f"it has no data, but the shape {array.shape} of {array.dtype.itemsize} bytes each")


def _check_characters(array: Any) -> None:
    """Raises ValueError for invalid characters, of which NumPy makes broken texts."""
    for name in array.dtype.names or ():
        _check_characters(array[name])
    if array.dtype.kind == "U" and array.dtype.itemsize and array.size:
        codes = array.flatten().view(f"{array.dtype.byteorder}u4")
        if int(codes.max()) > sys.maxunicode:
            raise ValueError(
                f"character number {int(codes.max()):,} of a text; there are none above {sys.maxunicode:,}"
            )
        if ((codes >= 0xD800) & (codes <= 0xDFFF)).any():
            raise ValueError("a text in it has half a surrogate pair, which is no character")


DECODERS: dict[str, Callable[[bytes, MediaType], list[Any]]] = {
    JSON: _decode_json,
    JSON_LINES: _decode_json_lines,
    CSV: _decode_csv,
    TEXT: _decode_text,
    NPY: _decode_npy,
}
ESTIMATES: dict[str, Callable[[bytes], int]] = {
    JSON: decoded_size.of_json,
    JSON_LINES: decoded_size.of_json_lines,
    CSV: decoded_size.of_csv,
    TEXT: decoded_size.of_text,
    NPY: decoded_size.of_array,
}
LINE_TYPES = frozenset({JSON_LINES, CSV, TEXT})
